module bigram

go 1.24
