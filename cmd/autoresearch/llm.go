package main

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/llm"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// modelPatience bounds the preflight's question to the language model's server.
// A server that loads the model first takes its time.
const modelPatience = time.Minute

// hasLLM tells whether the environment names a language model's server.
func (a *app) hasLLM() bool { return llm.Configured(a.getenv) }

// asksLLM tells whether a language model is among the proposers of a campaign.
func asksLLM(proposers string) bool { return slices.Contains(proposersOf(proposers), llmProposer) }

// checkModel asks the server of the language model, if the campaign has one,
// before any work starts: a wrong key or an unknown model must not be found out
// by a campaign that runs through the night. A server that cannot be reached
// stops a new campaign only; one that is resumed waits for it.
func (a *app) checkModel(ctx context.Context, s experiment.Settings, resumed bool) error {
	if !asksLLM(s.Proposer) || a.model != "" {
		return nil
	}
	if !a.hasLLM() && a.away {
		a.note("note      the worker with --research needs OPENAI_API_KEY or OPENAI_BASE_URL for the proposer llm; here neither is set")
		a.model = "which the workers know"
		return nil
	}
	if !a.hasLLM() {
		return usage("set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own; without a language model: --proposer hpo",
			"the proposer llm needs a language model, and none is configured")
	}
	model, err := a.askModel(ctx)
	var busy *proposer.WaitError
	switch {
	case err == nil:
		a.model = model
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, proposer.ErrRefused):
		return usage("the language model is set by OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL; without one: --proposer hpo", "%w", err)
	case resumed, errors.As(err, &busy):
		a.model = "which does not answer yet"
		a.note("note      the language model does not answer, and the campaign waits for it: %v", err)
		return nil
	}
	return newFailure(exitUnreachable, "check OPENAI_BASE_URL and the network; without a language model: --proposer hpo",
		"the language model cannot be reached: %w", err)
}

// askModel makes one small call, and returns the model that answered and its
// server: "qwen3 at localhost:8080".
func (a *app) askModel(ctx context.Context) (string, error) {
	l, err := llm.FromEnv(a.getenv)
	if err != nil {
		return "", err
	}
	asking, cancel := context.WithTimeout(ctx, modelPatience)
	defer cancel()
	model, err := l.Check(asking)
	if err != nil {
		return "", err
	}
	return style{utf8: true}.printable(model) + " at " + a.modelHost(), nil
}

// modelHost names the server without what may be secret in its address.
func (a *app) modelHost() string {
	base := strings.TrimSpace(a.getenv(llm.EnvBaseURL))
	if base == "" {
		base = llm.DefaultBaseURL
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return "the server of " + llm.EnvBaseURL
	}
	return u.Host
}

// proposerNote says plainly who has the ideas.
func (a *app) proposerNote(text string) string {
	const search = "proposals come from a search over the target's tunable constants"
	switch {
	case asksLLM(text) && a.model != "":
		return text + ", " + a.model
	case text == experiment.DefaultProposer && !a.hasLLM():
		return "hpo: no language model is configured, so " + search
	case text == experiment.DefaultProposer:
		return "hpo: " + search
	}
	return text
}

// llmState is the doctor's line: is a language model configured, does it
// answer, and is it known what it costs?
func (a *app) llmState(ctx context.Context) finding {
	if !a.hasLLM() {
		return ok("none is configured: proposals come from hpo; OPENAI_API_KEY or OPENAI_BASE_URL brings one")
	}
	model, err := a.askModel(ctx)
	switch {
	case errors.Is(err, proposer.ErrRefused):
		return fail(err.Error(), "change OPENAI_API_KEY, OPENAI_BASE_URL or OPENAI_MODEL")
	case err != nil:
		return warn(err.Error(), "a campaign that runs waits for it; a new one needs it, or --proposer hpo")
	case a.getenv(llm.EnvPrice) == "":
		return ok(model + ", answers; costs are known only if the server reports them (" + llm.EnvPrice + "=IN,OUT sets them)")
	}
	return ok(model + ", answers; " + a.getenv(llm.EnvPrice) + " US dollars per million tokens, in and out")
}
