// Package scorer measures programs that cannot export their model as a graph: a
// Python script, any program. The program itself says what each token of the
// validation text costs it, and so it could say anything. The protocol makes it
// commit first and prove afterwards: *commit, then blind cuts*.
//
// # The protocol
//
// The text is cut into N windows of T+1 tokens; no token is in two of them.
//
//  1. Commit. A process gets whole windows and answers with T numbers for each:
//     what token t+1 cost given tokens 0 to t, in nats. All claims are read and
//     hashed before any cut is drawn.
//  2. Blind cuts, once or more. A new process, which shares nothing with the
//     first but the model file, gets each window once, in random order, with a
//     secret cut: the tokens up to the cut are true, those after it are decoys.
//     It answers with its whole distribution of the token after the cut, which it
//     has never seen. A distribution adds up to 1, so what it gives to the true
//     token cannot be too good to be true.
//
// [Audit] compares claims and answers: one difference that numerics do not
// explain, a mean that they do not explain, or a spread that they do not explain
// is a verdict of tampering. [Design] says how many passes catch a lie of a
// given size, whoever makes it; docs/scorer.md has the proofs.
//
// A process in pass 2 must not know what one in pass 1 saw. [Run] gives each its
// own empty directory, and nothing that the other could have written to; the
// rest is the business of package sandbox, which says what it can enforce.
//
// # Errors
//
// What the program did wrong is an *experiment.Failure. An error is ours.
package scorer
