package tensor

// SmallGrains sends tensors of any size through the parallel paths until the
// function it returns is called.
func SmallGrains() (restore func()) {
	e, c, g := elemGrain, colGrain, gemmGrain
	elemGrain, colGrain, gemmGrain = 1, 1, 1
	return func() { elemGrain, colGrain, gemmGrain = e, c, g }
}

// DirtyMemory makes memory that nobody has written NaN until the function it
// returns is called.
func DirtyMemory() (restore func()) {
	dirtyMemory = true
	return func() { dirtyMemory = false }
}
