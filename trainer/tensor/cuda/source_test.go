package cuda

import (
	"strings"
	"testing"
)

// TestSourcesStandAlone wants kernels without headers, which the run-time
// compiler would have to find, and names that are theirs alone.
func TestSourcesStandAlone(t *testing.T) {
	files, err := kernelFiles.ReadDir("kernels")
	if err != nil || len(files) < 1 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	owner := map[string]string{}
	for _, f := range files {
		s := text(f.Name())
		if strings.Contains(s, "#include") {
			t.Errorf("%s includes a file", f.Name())
		}
		for _, line := range strings.Split(s, "\n") {
			name, ok := kernelName(line)
			if !ok {
				continue
			}
			if owner[name] != "" {
				t.Errorf("%s defines %s, which is in %s", f.Name(), name, owner[name])
			}
			owner[name] = f.Name()
		}
	}
}

// kernelName finds "KERNEL(threads) name(".
func kernelName(line string) (string, bool) {
	if !strings.HasPrefix(line, "KERNEL(") {
		return "", false
	}
	_, rest, ok := strings.Cut(line, ") ")
	name, _, _ := strings.Cut(rest, "(")
	return name, ok
}
