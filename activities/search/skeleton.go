package search

import (
	"crypto/sha256"
	"encoding/hex"
	"go/scanner"
	"go/token"
)

// Skeleton is a digest of the code around the constants: its tokens, without
// comments, layout and the constants' values. Two files with the same skeleton
// differ in their constants alone.
func Skeleton(src []byte, constants []Constant) string {
	var s scanner.Scanner
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(src))
	s.Init(file, src, func(token.Position, string) {}, 0)
	sum := sha256.New()
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return hex.EncodeToString(sum.Sum(nil)[:8])
		}
		for len(constants) > 0 && file.Offset(pos) >= constants[0].End {
			constants = constants[1:]
		}
		if len(constants) > 0 && file.Offset(pos) >= constants[0].Offset {
			lit = "" // inside a constant's literal, which may be two tokens: - and a number
			tok = token.ILLEGAL
			if file.Offset(pos) > constants[0].Offset {
				continue
			}
		}
		sum.Write([]byte(tok.String() + "\x00" + lit + "\x00"))
	}
}
