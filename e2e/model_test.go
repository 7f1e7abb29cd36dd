package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// apiKey is the secret of these tests, with characters that an address escapes.
// It is new each time, so that it does not stand in the repository that the
// campaigns are about.
var apiKey = "sk-e2e+/=" + rand.Text()

// model is a language model's server as a user meets it: behind an address that
// answers, refuses and comes back.
type model struct {
	t       *testing.T
	server  *llmtest.Server // what is behind it
	address string
	proxy   http.Handler

	mu    sync.Mutex
	http  *http.Server
	fails func(http.ResponseWriter) // instead of the server, if set
	count int                       // requests since it was set
}

// newModel starts a server whose address is open.
func newModel(t *testing.T, o llmtest.Options, script ...llmtest.Step) *model {
	t.Helper()
	if o.Key == "" {
		o.Key = apiKey
	}
	m := &model{t: t, server: llmtest.NewWith(t, o, script...), address: "127.0.0.1:0"}
	to, err := url.Parse(m.server.Address())
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // connections that break are what this is for
	m.proxy = proxy
	m.open()
	t.Cleanup(m.shut)
	return m
}

// env is what the user sets.
func (m *model) env(key string) []string {
	return []string{"OPENAI_API_KEY=" + key, "OPENAI_BASE_URL=http://" + m.address + "/v1", "AUTORESEARCH_LLM_PRICE=1,10"}
}

// open answers at the address, the same one each time.
func (m *model) open() {
	m.t.Helper()
	var l net.Listener
	eventually(m.t, "the address of the language model is free", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", m.address)
		return err == nil
	})
	s := &http.Server{Handler: m}
	m.mu.Lock()
	m.address, m.http = l.Addr().String(), s
	m.mu.Unlock()
	go func() { _ = s.Serve(l) }()
}

// shut refuses connections from now on, and breaks those that there are.
func (m *model) shut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.http.Close()
}

// fail answers each request so, until the next call; nil lets them through.
func (m *model) fail(with func(http.ResponseWriter)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails, m.count = with, 0
}

// seen counts the requests since the last call of fail.
func (m *model) seen() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

// ServeHTTP implements http.Handler.
func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	fails := m.fails
	m.count++
	m.mu.Unlock()
	if fails != nil {
		fails(w)
		return
	}
	m.proxy.ServeHTTP(w, r)
}

// status is an answer with this status, and headers.
func status(code int, body string, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// asked finds the experiment that a prompt is about.
var asked = regexp.MustCompile(`(?:Propose|answer to) experiment #(\d+)`)

// calls counts the calls for each experiment. Those that only ask whether the
// model is there are none of them.
func (m *model) calls() map[int]int {
	all := map[int]int{}
	for _, r := range m.server.Requests() {
		if found := asked.FindAllStringSubmatch(r.Prompt(), -1); found != nil {
			n, _ := strconv.Atoi(found[len(found)-1][1])
			all[n]++
		}
	}
	return all
}

// notes counts the stored answers for each experiment.
func (u *user) notes(tag string) map[int]int {
	all := map[int]int{}
	for _, n := range u.begun(tag) {
		files, _ := filepath.Glob(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, "note-*-call-*.json")))
		if len(files) > 0 {
			all[n] = len(files)
		}
	}
	return all
}

// noteOf is the stored answer to the first question about an experiment.
func (u *user) noteOf(tag string, n int) string {
	return filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, "note-0-0-call-0.json"))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// status is the campaign's own account, or nothing while there is none.
func (u *user) status(tag string) (s experiment.Status) {
	out, err := u.command("status", "--json", "--tag", tag).Output()
	if err == nil {
		_ = json.Unmarshal(out, &s)
	}
	return s
}

// inStage lists the experiments of a campaign that are in a stage.
func (u *user) inStage(tag string, stage experiment.Stage) (all []int) {
	for _, o := range u.status(tag).Running {
		if o.Stage == stage {
			all = append(all, o.Experiment)
		}
	}
	return all
}

// keyForms are the ways in which a key could stand somewhere.
func keyForms() []string {
	in, _ := json.Marshal(apiKey)
	return []string{
		apiKey, url.QueryEscape(apiKey), url.PathEscape(apiKey), strings.Trim(string(in), `"`),
		base64.StdEncoding.EncodeToString([]byte(apiKey)), fmt.Sprintf("%x", apiKey),
	}
}
