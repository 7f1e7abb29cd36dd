package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// decided is the result of experiment n that is the sequence-th decision.
func decided(n, sequence int) experiment.Result {
	r := result(n)
	r.Sequence, r.NoiseAfter.DoF = sequence, float64(sequence)
	return r
}

// write puts results into the store as another process would.
func write(t *testing.T, store artifact.Store, results ...experiment.Result) {
	t.Helper()
	other := &ledger.Ledger{Store: store}
	for _, r := range results {
		if _, err := other.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers are the experiments in the order of their decision.
func numbers(t *testing.T, l *ledger.Ledger) (out []int) {
	t.Helper()
	results, err := l.Results(t.Context(), "mar5")
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Sequence != i {
			t.Errorf("result %d, of experiment %d, has sequence %d", i, r.Experiment, r.Sequence)
		}
		out = append(out, r.Experiment)
	}
	return out
}

func wantNumbers(t *testing.T, what string, l *ledger.Ledger, want ...int) {
	t.Helper()
	if got := numbers(t, l); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: the results are of %v, want %v", what, got, want)
	}
}

func TestResultsAreInOrderOfDecision(t *testing.T) {
	l := newLedger(t)
	poller := &ledger.Ledger{Home: l.Home, Store: l.Store}
	order := []int{0, 2, 1, 9, 3, 12, 4} // 5 to 8, 10 and 11 are not decided
	for sequence, n := range order {
		r, err := l.Record(t.Context(), decided(n, sequence))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Follow(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		for who, reader := range map[string]*ledger.Ledger{"writer": l, "poller": poller, "fresh": {Home: l.Home, Store: l.Store}} {
			wantNumbers(t, who, reader, order[:sequence+1]...)
		}
	}
	for who, reader := range map[string]*ledger.Ledger{"writer": l, "poller": poller, "fresh": {Home: l.Home, Store: l.Store}} {
		s, err := reader.State(t.Context(), "mar5")
		if err != nil {
			t.Fatal(err)
		}
		// The last decision, on experiment 4, says what holds.
		if s.Next != 13 || s.Decided != 7 || s.Incumbent.Experiment != 3 || s.Noise.DoF != 6 || s.Baseline.Experiment != 0 {
			t.Errorf("%s: State = %+v", who, s)
		}
		if want := (experiment.Tally{Experiments: 6, Kept: 3, Discarded: 2, Crashed: 1, SinceKeep: 1}); s.Tally != want {
			t.Errorf("%s: tally is %+v, want %+v", who, s.Tally, want)
		}
		if last := s.Recent[len(s.Recent)-1]; len(s.Recent) != 7 || last.Experiment != 4 || last.Sequence != 6 {
			t.Errorf("%s: recent is %+v", who, s.Recent)
		}
	}
	var rows []string
	for row := range strings.Lines(table(t, l)) {
		cells := strings.Split(row, "\t")
		rows = append(rows, cells[18]+":"+cells[5])
	}
	if got := strings.Join(rows, " "); got != "sequence:experiment 0:0 1:2 2:1 3:9 4:3 5:12 6:4" {
		t.Errorf("the table has the rows %s", got)
	}
}

// Homes from before experiments ran side by side have no sequence.
func TestResultsWithoutSequence(t *testing.T) {
	store := new(artifact.Memory)
	for n := range 3 {
		write(t, store, decided(n, 0))
	}
	write(t, store, decided(4, 3), decided(3, 4))
	l := &ledger.Ledger{Store: store}
	wantNumbers(t, "old and new", l, 0, 1, 2, 4, 3)
	if r, err := l.Decided(t.Context(), "mar5", 2); err != nil || r.Sequence != 2 {
		t.Errorf("Decided = %+v, %v", r, err)
	}
}

// The writer knows what it wrote, also far above what it looks for, and also
// when the store has failed after it had written.
func TestWriterMissesNothing(t *testing.T) {
	store := &failing{Store: new(artifact.Memory)}
	l := &ledger.Ledger{Home: experiment.Home(t.TempDir()), Store: store}
	record(t, l, 0)
	far := 10 * experiment.MaxParallel
	if _, err := l.Record(t.Context(), decided(far, 1)); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, "far above", l, 0, far)
	store.fail = true
	if _, err := l.Record(t.Context(), decided(2*far, 2)); !errors.Is(err, errFlush) {
		t.Fatalf("Record = %v", err)
	}
	wantNumbers(t, "after a failure", l, 0, far, 2*far)
}

var errFlush = errors.New("no flush")

// failing writes, and then says that it did not.
type failing struct {
	artifact.Store
	fail bool
}

func (s *failing) PutOnce(ctx context.Context, key string, data []byte) ([]byte, error) {
	stored, err := s.Store.PutOnce(ctx, key, data)
	if s.fail {
		return nil, errFlush
	}
	return stored, err
}

// slow shows some results only after so many lists were made: a reader passes
// their place before they are written, and comes to a later one afterwards.
type slow struct {
	artifact.Store
	lists  int
	hidden map[string]int
	onList func()
}

func (s *slow) hides(key string) bool { return s.hidden[key] > s.lists }

func (s *slow) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if s.hides(key) {
		return nil, fmt.Errorf("%w: %s", artifact.ErrNotFound, key)
	}
	return s.Store.Open(ctx, key)
}

func (s *slow) List(ctx context.Context, prefix string) (out []string, err error) {
	s.lists++
	if s.onList != nil {
		s.onList()
	}
	keys, err := s.Store.List(ctx, prefix)
	for _, key := range keys {
		if !s.hides(key) {
			out = append(out, key)
		}
	}
	return out, err
}

func TestReaderBesideAWriter(t *testing.T) {
	memory := new(artifact.Memory)
	write(t, memory, decided(0, 0))
	store := &slow{Store: memory}
	l := &ledger.Ledger{Store: store}
	wantNumbers(t, "first look", l, 0)

	store.hidden = map[string]int{"mar5/0003/result.json": 2}
	write(t, memory, decided(3, 1), decided(1, 2))
	wantNumbers(t, "a probe passed it", l, 0, 3, 1)

	store.hidden["mar5/0002/result.json"] = 4
	write(t, memory, decided(2, 3), decided(4, 4))
	fresh := &ledger.Ledger{Store: store}
	wantNumbers(t, "a list passed it", fresh, 0, 3, 1, 2, 4)

	// While the gap below 7 is closed, 9 appears, and 8 before it is passed again.
	write(t, memory, decided(6, 5), decided(7, 6))
	store.hidden = map[string]int{"mar5/0006/result.json": store.lists + 1, "mar5/0008/result.json": store.lists + 2}
	store.onList = func() {
		store.onList = nil
		write(t, memory, decided(8, 7), decided(9, 8))
	}
	wantNumbers(t, "news in between", fresh, 0, 3, 1, 2, 4, 6, 7)
	wantNumbers(t, "and then", fresh, 0, 3, 1, 2, 4, 6, 7, 8, 9)
	if lists := store.lists; store.hides("mar5/0008/result.json") || lists > 7 {
		t.Errorf("%d lists", lists)
	}
}

// After the first look a reader lists nothing as long as nothing is missing.
func TestPollingDoesNotList(t *testing.T) {
	memory := new(artifact.Memory)
	store := &slow{Store: memory}
	l := &ledger.Ledger{Store: store}
	for sequence, n := range []int{0, 2, 5, 1, 4 * experiment.MaxParallel} {
		write(t, memory, decided(n, sequence))
		numbers(t, l)
	}
	if len(numbers(t, l)) != 5 || store.lists != 1 {
		t.Errorf("%d results after %d lists", len(numbers(t, l)), store.lists)
	}
}

func TestDamage(t *testing.T) {
	put := func(name, text string) func(*artifact.Memory) {
		return func(m *artifact.Memory) {
			m.Delete("mar5/" + name)
			if err := m.Put(context.Background(), "mar5/"+name, bytes.NewReader([]byte(text))); err != nil {
				panic(err)
			}
		}
	}
	gone := func(name string) func(*artifact.Memory) { return func(m *artifact.Memory) { m.Delete("mar5/" + name) } }
	for what, c := range map[string]struct {
		order []int // experiments as they are decided
		harm  func(*artifact.Memory)
		words []string
	}{
		"gap":               {[]int{0, 1, 2}, gone("0001/result.json"), []string{"decision 1 of campaign mar5 is missing", "mar5/0002/result.json is decision 2", "there is no mar5/0001/result.json"}},
		"no baseline":       {[]int{0, 1, 2}, gone("0000/result.json"), []string{"decision 0", "there is no mar5/0000/result.json"}},
		"out of order":      {[]int{0, 3, 2}, gone("0003/result.json"), []string{"decision 1", "mar5/0002/result.json is decision 2", "there is no mar5/0001/result.json"}},
		"begun experiments": {[]int{0, 3, 2}, func(m *artifact.Memory) { gone("0003/result.json")(m); put("0003/proposal.md", "")(m) }, []string{"no mar5/0001/result.json, mar5/0003/result.json"}},
		"nothing left":      {[]int{0, 3, 1, 2}, gone("0003/result.json"), []string{"decision 1", "mar5/0001/result.json is decision 2", "nothing is left of its experiment"}},
		"many candidates":   {[]int{0, 1, 20}, gone("0001/result.json"), []string{"mar5/0001/result.json, mar5/0002/", "mar5/0008/result.json, 11 more"}},
		"several at once":   {[]int{0, 1, 2, 3}, func(m *artifact.Memory) { gone("0001/result.json")(m); gone("0002/result.json")(m) }, []string{"decision 1", "mar5/0003/result.json is decision 3", "mar5/0001/result.json, mar5/0002/result.json"}},
		"doubled":           {[]int{0, 1, 2}, put("0003/result.json", `{"campaign":"mar5","experiment":3,"sequence":2}`), []string{"mar5/0002/result.json and mar5/0003/result.json are both decision 2"}},
		"doubled baseline":  {[]int{0, 1}, put("0000/result.json", `{"campaign":"mar5","experiment":0,"sequence":1}`), []string{"are both decision 1"}},
		"negative":          {[]int{0, 1}, put("0002/result.json", `{"campaign":"mar5","experiment":2,"sequence":-1}`), []string{"mar5/0002/result.json is decision -1"}},
		"far":               {[]int{0, 1}, put("0002/result.json", `{"campaign":"mar5","experiment":2,"sequence":1000000000}`), []string{"decision 2 of", "mar5/0002/result.json is decision 1000000000"}},
		"copied":            {[]int{0, 1}, put("0002/result.json", `{"campaign":"mar5","experiment":1,"sequence":1}`), []string{"mar5/0002/result.json is the decision on experiment 1"}},
		"empty":             {[]int{0, 1, 2}, put("0001/result.json", ""), []string{"mar5/0001/result.json"}},
		"half":              {[]int{0, 1, 2}, put("0002/result.json", `{"campaign":"mar5","exper`), []string{"mar5/0002/result.json"}},
	} {
		t.Run(what, func(t *testing.T) {
			memory := new(artifact.Memory)
			for sequence, n := range c.order {
				write(t, memory, decided(n, sequence))
			}
			whole := snapshot(t, memory)
			c.harm(memory)
			l := &ledger.Ledger{Home: experiment.Home(t.TempDir()), Store: memory}
			_, resultsErr := l.Results(t.Context(), "mar5")
			_, stateErr := l.State(t.Context(), "mar5")
			_, repairErr := l.Repair(t.Context(), "mar5")
			_, followErr := l.Follow(t.Context(), decided(0, 0))
			for _, err := range []error{resultsErr, stateErr, repairErr, followErr} {
				if !errors.Is(err, ledger.ErrDamaged) {
					t.Fatalf("%v; want ErrDamaged", err)
				}
				for _, w := range c.words {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%v; want the words %s", err, w)
					}
				}
			}
			// Put right, it is read by the process that complained.
			for _, key := range keysOf(t, memory) {
				memory.Delete(key)
			}
			for key, text := range whole {
				put(strings.TrimPrefix(key, "mar5/"), text)(memory)
			}
			wantNumbers(t, "put right", l, c.order...)
		})
	}
}

// A doubled decision that appears later is found as well, and its going away.
func TestDamageWhilePolling(t *testing.T) {
	memory := new(artifact.Memory)
	write(t, memory, decided(0, 0), decided(1, 1))
	l := &ledger.Ledger{Store: memory}
	wantNumbers(t, "first look", l, 0, 1)
	write(t, memory, decided(2, 1))
	if _, err := l.Results(t.Context(), "mar5"); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("Results = %v", err)
	}
	memory.Delete("mar5/0001/result.json")
	wantNumbers(t, "the first of them is gone", l, 0, 2)
}

func keysOf(t *testing.T, store artifact.Store) []string {
	t.Helper()
	keys, err := store.List(t.Context(), "mar5/")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func snapshot(t *testing.T, store artifact.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, key := range keysOf(t, store) {
		r, err := store.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[key] = string(b)
	}
	return out
}
