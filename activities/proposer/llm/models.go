package llm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	openai "github.com/sashabaranov/go-openai"
)

// maxListed bounds the models that a message names: some servers have hundreds.
const maxListed = 20

// chosen is the configured model, or the only one that the server offers.
func (l *LLM) chosen(ctx context.Context) (string, *trouble) {
	if l.config.Model != "" {
		return l.config.Model, nil
	}
	l.mu.Lock()
	model := l.model
	l.mu.Unlock()
	if model != "" {
		return model, nil
	}
	models, t := l.models(ctx)
	switch {
	case t != nil && errors.As(t.err, new(*refusal)) && t.kind != refused:
		return "", &trouble{kind: refused, err: fmt.Errorf("%w; and set %s, since the server does not tell its models", t.err, EnvModel)}
	case t != nil:
		return "", t
	case len(models) == 0:
		return "", &trouble{kind: refused, err: refuse("%s offers no model: load one, or set %s", l.at.host, EnvModel)}
	case len(models) > 1:
		return "", &trouble{kind: refused, err: refuse("%s offers %d models: set %s to one; %s", l.at.host, len(models), EnvModel, list(models))}
	}
	l.mu.Lock()
	l.model = models[0]
	l.mu.Unlock()
	return models[0], nil
}

// models asks the server what it offers.
func (l *LLM) models(ctx context.Context) ([]string, *trouble) {
	m := l.learned()
	for {
		var found openai.ModelsList
		_, t := l.exchange(ctx, m, "", func(ctx context.Context, c *openai.Client) (err error) {
			found, err = c.ListModels(ctx)
			return err
		})
		if t == nil {
			l.settle(m.base)
			return names(found, l.hidden), nil
		}
		if t.kind != elsewhere || !m.improve(t, l.at) {
			return nil, t
		}
	}
}

// settle remembers the address that answers.
func (l *LLM) settle(base string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manners.base = base
}

func names(found openai.ModelsList, hidden secrets) []string {
	var out []string
	for _, m := range found.Models {
		if m.ID != "" {
			out = append(out, hidden.redact(m.ID))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// list names the models for a person.
func list(models []string) string {
	shown := slices.Clone(models[:min(len(models), maxListed)])
	for i, m := range shown {
		shown[i] = oneLine(m, 80)
	}
	text := "it has " + strings.Join(shown, ", ")
	if more := len(models) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Check makes sure that the model answers, with a call that costs about twenty
// tokens, and names it. An error that wraps proposer.ErrRefused says what to
// change; any other passes, and a campaign would wait for that.
func (l *LLM) Check(ctx context.Context) (string, error) {
	model, t := l.chosen(ctx)
	if t == nil {
		_, t = l.chat(ctx, model, []message{{openai.ChatMessageRoleUser, "Answer with the word OK."}}, checkRoom)
	}
	if t != nil {
		return "", fmt.Errorf("proposer llm: %w", l.explain(ctx, t))
	}
	return model, nil
}

// checkRoom is the length of an answer to Check: some servers want at least 16.
const checkRoom = 16
