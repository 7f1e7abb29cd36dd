package activities

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// grown is the target noop, which begins deeper on GPUs.
type grown struct{ target.Noop }

func (grown) SizedForGPU(files map[string][]byte) (map[string][]byte, string, error) {
	sized := map[string][]byte{}
	for path, text := range files {
		if sized[path] = bytes.Replace(text, []byte("= 3 "), []byte("= 8 "), 1); bytes.Equal(sized[path], text) {
			return nil, "", nil
		}
	}
	return sized, "Depth = 8\n", nil
}

func (grown) PriorStdDevOnGPU(experiment.Duration) float64 { return 0.5 }

// A campaign on GPUs begins with sizes for GPUs, in a commit of its own; the
// checkout stands as it was, and so does a campaign on the CPU.
func TestPrepareForGPU(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	r.Targets = func(string) (target.Target, error) { return grown{}, nil }
	s := testSettings()
	onCPU := must(t, r, r.Prepare, PrepareInput{s}).Campaign
	s.Tag, s.Device = "mar6", experiment.CUDA
	c := must(t, r, r.Prepare, PrepareInput{s}).Campaign

	head := git(t, dir, "rev-parse", "HEAD")
	require.Equal(t, head, onCPU.Base)
	require.NotEqual(t, head, c.Base)
	require.NotEqual(t, onCPU.Evaluator, c.Evaluator, "the sources are those of its own base")
	require.Equal(t, 0.5, c.PriorStdDev)
	require.Equal(t, head, git(t, string(r.Home.Repo()), "rev-parse", c.Base+"^"))
	message := git(t, string(r.Home.Repo()), "log", "-1", "--format=%B", c.Base)
	require.True(t, strings.Contains(message, "Sizes for a GPU") && strings.Contains(message, "Depth = 8") && strings.Contains(message, "Campaign: mar6"), message)
	files, err := r.Repo.ReadFiles(t.Context(), c.Base, grown{}.Editable())
	require.NoError(t, err)
	require.Contains(t, string(files[grown{}.Editable()[0]]), "= 8")
	require.Empty(t, git(t, dir, "status", "--porcelain"))

	again := must(t, r, r.Prepare, PrepareInput{s}).Campaign
	require.Equal(t, c.Base, again.Base)
}
