package e2e

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The server of the language model goes away in the middle of a campaign, in
// one way after the other. What trains is finished and decided, nothing else is,
// people are told what the campaign waits for, and it goes on by itself.
func TestOutage(t *testing.T) {
	t.Parallel() // it waits most of the time
	m := newModel(t, llmtest.Options{})
	u := newUser(t)
	u.env = m.env(apiKey)
	const tag = "outage"
	p := u.start("up", plain, "--tag", tag, "--experiments", "5", "--budget", "1s", "--seeds", "1", "--exit")
	u.trainsNext(tag)
	m.shut()
	waits := func(cause string) {
		t.Helper()
		eventually(t, "up says that it waits: "+cause, func() bool {
			_, told, _ := strings.Cut(p.output(), "waiting for the language model: ")
			return strings.Contains(told, cause)
		})
	}
	waits("connection refused")
	m.fail(status(503, `{"error":{"message":"overloaded"}}`))
	m.open()
	waits("503 Service Unavailable")
	m.fail(status(429, `{"error":{"message":"slow down"}}`, "Retry-After", "2"))
	waits("429 Too Many Requests")
	eventually(t, "what was prepared is trained and decided", func() bool {
		s := u.status(tag)
		return s.Experiments > 0 && !strings.Contains(stages(s), "training") && !strings.Contains(stages(s), "ready")
	})
	decided, lost := u.history(tag), m.lost(u.notes(tag)) // an answer may have been under way when the server went
	require.Regexp(t, `trouble   waiting for the language model: .*429 Too Many Requests`, u.run("status", "--tag", tag))
	before := m.seen()
	eventually(t, "a server that names a time is asked again after that time", func() bool { return m.seen() >= before+2 })
	require.Equal(t, len(decided), len(u.history(tag)), "no experiment came of the outage")
	require.Empty(t, u.status(tag).Trouble, "it is not paused")
	require.Equal(t, experiment.Running, u.status(tag).Phase)

	m.fail(nil)
	p.wait()
	require.Contains(t, p.output(), "it goes on")
	u.checkLedger(tag, 5)
	for _, r := range u.history(tag)[1:] {
		require.NotEqual(t, experiment.Crash, r.Verdict, "#%d: %s", r.Experiment, r.Message)
		require.Equal(t, "llm", r.Proposer)
	}
	require.Equal(t, lost, m.lost(u.notes(tag)), "each answer is stored")
	u.checkAskedOnce(tag)
}

// stages lists what is under way.
func stages(s experiment.Status) (list string) {
	for _, o := range s.Running {
		list += string(o.Stage) + " "
	}
	return list
}

// checkPaidOnce compares what the server was asked with the answers that are
// stored: one for each question.
func (u *user) checkPaidOnce(tag string, m *model) {
	u.t.Helper()
	require.Equal(u.t, u.notes(tag), m.calls(), "each answer is stored")
	u.checkAskedOnce(tag)
}

// checkAskedOnce looks for second answers to one question.
func (u *user) checkAskedOnce(tag string) {
	u.t.Helper()
	again, _ := filepath.Glob(filepath.Join(experiment.Home(u.home).Artifacts(), tag, "*", "note-*-call-[1-9]*.json"))
	require.Empty(u.t, again, "no question was asked twice")
}

// `up` is killed just when an answer has arrived, or is about to. What was stored
// by then is not asked for again.
func TestPaidAnswerSurvives(t *testing.T) {
	t.Parallel()
	answered := make(chan bool, 100)
	script := slices.Repeat([]llmtest.Step{func(c *llmtest.Call) {
		llmtest.Researcher(c)
		if asked.MatchString(c.Request.Prompt()) {
			answered <- true
		}
	}}, 100)
	m := newModel(t, llmtest.Options{Latency: 300 * time.Millisecond}, script...)
	u := newUser(t).noop()
	u.env = m.env(apiKey)
	const tag = "paid"
	const experiments = 12
	up := []string{"up", plain, "--target", "noop", "--tag", tag, "--experiments", "12", "--exit"}

	hits := 0 // kills between an answer's note and the proposal that is made of it
	for known := []int{}; len(known) < 5 && hits < 2; {
		p := u.start(up...)
		n := u.nextNote(p, tag, known)
		p.kill()
		if !exists(u.proposalOf(tag, n)) {
			hits++
		}
		require.NotContains(t, m.lost(u.notes(tag)), n, "its answer is stored")
		known = append(known, n)
	}
	t.Logf("killed %d times with an answer and no proposal", hits)
	var lost map[int]int
	for range 2 {
		for len(answered) > 0 {
			<-answered
		}
		p := u.start(up...)
		select {
		case <-answered: // the response is on its way: it arrives, or it does not
			<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
		case <-p.done: // nothing was left to ask
		case <-time.After(patience):
			require.FailNow(t, "nothing was asked", p.output())
		}
		p.kill()
		lost = m.lost(u.notes(tag))
	}
	t.Logf("asked, and killed before the answer was stored: %v", lost)
	u.start(up...).wait()
	u.checkLedger(tag, experiments)
	require.Equal(t, lost, m.lost(u.notes(tag)), "what was stored was not asked for again")
	u.checkAskedOnce(tag)
}

// nextNote waits for the first answer of an experiment that is none of the known
// ones, almost without a pause: what is made of it is stored a moment later.
func (u *user) nextNote(p *process, tag string, known []int) int {
	u.t.Helper()
	for began := time.Now(); time.Since(began) < patience && !p.ended(); {
		for n := range 12 {
			if !slices.Contains(known, n) && !exists(u.proposalOf(tag, n)) && exists(u.noteOf(tag, n)) {
				return n
			}
		}
		<-time.After(200 * time.Microsecond)
	}
	require.FailNow(u.t, "no answer is stored", p.output())
	return 0
}

func (u *user) proposalOf(tag string, n int) string {
	return filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, "proposal-0-0.json"))
}

// lost counts the questions to which no answer is stored.
func (m *model) lost(notes map[int]int) map[int]int {
	lost := map[int]int{}
	for n, calls := range m.calls() {
		if calls != notes[n] {
			lost[n] = calls - notes[n]
		}
	}
	return lost
}

// What somebody has to change stops a campaign before any work.
func TestWrongModelStopsAtOnce(t *testing.T) {
	t.Parallel()
	m := newModel(t, llmtest.Options{})
	u := newUser(t).noop()
	u.env = m.env("another-key-than-that")
	up := []string{"up", "--target", "noop", "--tag", "none"}
	said := u.fails(2, "401 Unauthorized", up...)
	require.Contains(t, said, "check OPENAI_API_KEY")
	require.NotContains(t, said, "another-key")

	u.env = append(m.env(apiKey), "OPENAI_MODEL=gpt-none")
	m.fail(status(404, `{"error":{"message":"The model gpt-none does not exist","code":"model_not_found"}}`))
	require.Contains(t, u.fails(2, "gpt-none does not exist", up...), "OPENAI_MODEL")

	two := newModel(t, llmtest.Options{Models: []string{"small", "large"}})
	u.env = two.env(apiKey)
	require.Contains(t, u.fails(2, "offers 2 models", up...), "it has large, small")

	m.shut()
	u.env = m.env(apiKey)
	u.fails(5, "connection refused", up...)
	require.NoDirExists(t, u.home, "nothing was made")
}

// A key that goes bad in the middle pauses the campaign, which says so. With a
// good one it goes on.
func TestKeyGoesBad(t *testing.T) {
	t.Parallel()
	var m *model
	m = newModel(t, llmtest.Options{}, llmtest.Researcher, llmtest.Researcher, func(c *llmtest.Call) {
		m.fail(status(401, `{"error":{"message":"Incorrect API key provided: `+apiKey+`","code":"invalid_api_key"}}`))
		llmtest.Researcher(c)
	})
	u := newUser(t).noop()
	u.env = m.env(apiKey)
	const tag = "badkey"
	p := u.start("up", plain, "--target", "noop", "--tag", tag, "--experiments", "6", "--exit")
	eventually(t, "the campaign is paused", func() bool { return u.status(tag).Phase == experiment.Paused })
	require.Contains(t, u.status(tag).Trouble, "401 Unauthorized")
	require.Contains(t, u.status(tag).Trouble, "check OPENAI_API_KEY")
	eventually(t, "up says so", func() bool { return strings.Contains(p.output(), "to go on: autoresearch resume --tag badkey") })
	require.NotContains(t, p.output(), apiKey)

	m.fail(nil)
	u.run("resume", "--tag", tag)
	p.wait()
	u.checkLedger(tag, 6)
	u.checkPaidOnce(tag, m)
}
