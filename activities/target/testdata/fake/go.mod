module github.com/autoresearch-go/autoresearch

go 1.26.0

require example.com/not/needed v1.0.0
