package target

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/search"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The released train.go becomes train.py's model, in the grammar that hpo reads,
// and what somebody has changed stands.
func TestSizedForGPU(t *testing.T) {
	const path = "trainer/train.go"
	released, err := os.ReadFile("../../" + path)
	require.NoError(t, err)
	g := newGoGPT()
	sized, changes, err := g.SizedForGPU(map[string][]byte{path: released})
	require.NoError(t, err)
	require.NotNil(t, sized, "a default of train.go has changed: change gpuSizes")
	require.Contains(t, changes, "Depth = 8 (on a CPU 2)\n")
	require.Nil(t, g.Guard(path, sized[path]))

	constants, err := search.Parse(path, sized[path])
	require.NoError(t, err, "values lie in their ranges")
	before, err := search.Parse(path, released)
	require.NoError(t, err)
	require.Len(t, constants, len(before))
	values := map[string]string{}
	for i, c := range constants {
		require.Equal(t, before[i].Name, c.Name)
		values[c.Name] = string(sized[path][c.Offset:c.End])
	}
	for _, s := range gpuSizes {
		require.Equal(t, s.gpu, values[s.name])
	}
	require.Equal(t, "4", values["MLPRatio"])
	require.Equal(t, `"SSSL"`, values["Window"])
	require.Equal(t, "64", values["Aspect"])
	require.Contains(t, string(sized[path]), "// one of 512, 1024, 2048, 4096; T\n")
	require.Equal(t, strings.Count(string(released), "\n"), strings.Count(string(sized[path]), "\n"))

	again, _, err := g.SizedForGPU(sized)
	require.NoError(t, err)
	require.Nil(t, again, "once")
	own := strings.Replace(string(released), "Depth     = 2 ", "Depth     = 6 ", 1)
	require.NotEqual(t, own, string(released))
	again, _, err = g.SizedForGPU(map[string][]byte{path: []byte(own)})
	require.NoError(t, err)
	require.Nil(t, again, "somebody's own sizes")
	_, _, err = g.SizedForGPU(map[string][]byte{path: []byte("package")})
	require.ErrorContains(t, err, path)
}

func TestPriorOnGPU(t *testing.T) {
	g := newGoGPT()
	require.InDelta(t, 0.001, g.PriorStdDevOnGPU(experiment.CUDABudget), 1e-12)
	require.InDelta(t, 0.001, g.PriorStdDevOnGPU(2*experiment.CUDABudget), 1e-12)
	require.InDelta(t, 0.002, g.PriorStdDevOnGPU(experiment.Duration(75*time.Second)), 1e-12)
}
