package sandbox

import (
	"os"
	"strconv"
	"testing"
)

// BenchmarkStart is what a run costs from the call to the return, with a program
// that ends at once: the machine's own processes, and what the sandbox adds.
func BenchmarkStart(b *testing.B) {
	boxes := map[string]Sandbox{"process": Process{}, "confined": OrDefault(nil)}
	for _, name := range []string{"process", "confined"} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			for range b.N {
				o, err := boxes[name].Run(b.Context(), Spec{
					ID: "bench/" + strconv.Itoa(os.Getpid()), Path: self(), Dir: dir, Env: []string{play + "=nothing"},
				})
				if err != nil || o.ExitCode != 0 {
					b.Fatalf("%+v, %v", o, err)
				}
			}
		})
	}
}
