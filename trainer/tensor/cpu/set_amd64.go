package cpu

func accelerated() []*Set { return nil }
