package gpu

import (
	"slices"
	"testing"
)

func TestParseUsage(t *testing.T) {
	log := `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'fill' for 'sm_90a'
ptxas info    : Function properties for fill
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 0 barriers
ptxas info    : Compile time = 1.877 ms
ptxas info    : Compiling entry function 'sort' for 'sm_90a'
ptxas info    : Function properties for sort
ptxas         .     704 bytes stack frame, 508 bytes spill stores, 608 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 704 bytes cumulative stack size, 400 bytes smem
`
	want := []Usage{{"fill", 10, 0, 0, 0}, {"sort", 32, 704, 508, 400}}
	if got := parseUsage(log); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := parseUsage("4 bytes smem"); len(got) != 0 {
		t.Errorf("of no function: %+v", got)
	}
}
