package target

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/constant"
	"go/scanner"
	"go/token"
	"maps"
	"slices"
)

// Syntax implements Target.
func (*GoGPT) Syntax(files map[string][]byte) (digest string, tokens int, err error) {
	return goSyntax(files)
}

// goSyntax digests the tokens of Go files in a form that layout, comments and
// the spelling of numbers do not change: 0.020 is 2e-2. Semicolons and commas
// that only a line break asks for are left out.
func goSyntax(files map[string][]byte) (digest string, tokens int, err error) {
	sum := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		list, err := goTokens(path, files[path])
		if err != nil {
			return "", 0, err
		}
		fmt.Fprintf(sum, "%s\x00%d\x00", path, len(list))
		for _, t := range list {
			sum.Write([]byte(t + "\x00"))
		}
		tokens += len(list)
	}
	return hex.EncodeToString(sum.Sum(nil)), tokens, nil
}

func goTokens(path string, src []byte) (list []string, err error) {
	fset := token.NewFileSet()
	var s scanner.Scanner
	var errs []error
	s.Init(fset.AddFile(path, -1, len(src)), src, func(at token.Position, msg string) {
		errs = append(errs, fmt.Errorf("%s: %s", at, msg))
	}, 0)
	pending := token.ILLEGAL // a separator that counts only if something follows
	for {
		_, tok, lit := s.Scan()
		closing := tok == token.RBRACE || tok == token.RPAREN || tok == token.RBRACK || tok == token.EOF
		if pending != token.ILLEGAL && !closing {
			list = append(list, pending.String())
		}
		pending = token.ILLEGAL
		switch {
		case tok == token.EOF:
			return list, errors.Join(errs...)
		case tok == token.SEMICOLON, tok == token.COMMA:
			pending = tok
		default:
			list = append(list, spelling(tok, lit))
		}
	}
}

// spelling is a token's text; numbers of one kind and value share one. The kind
// counts: 1/2 is not 1.0/2.
func spelling(tok token.Token, lit string) string {
	switch {
	case tok == token.INT, tok == token.FLOAT, tok == token.IMAG:
		if v := constant.MakeFromLiteral(lit, tok, 0); v.Kind() != constant.Unknown {
			return tok.String() + v.ExactString()
		}
	case tok == token.CHAR, tok == token.STRING:
		if v := constant.MakeFromLiteral(lit, tok, 0); v.Kind() != constant.Unknown {
			return tok.String() + v.ExactString()
		}
	}
	if lit != "" && tok != token.SEMICOLON {
		return lit
	}
	return tok.String()
}
