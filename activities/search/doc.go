// Package search finds better values for the tunable constants of a source
// file. It has three parts, none of which keeps state or touches a file:
//
//   - [Parse] reads the constants and their ranges, [Set] writes new values;
//   - [Suggest] picks the next point to try from what was tried before;
//   - [Skeleton] says whether two files differ in their constants alone.
//
// # Grammar
//
// A tunable constant is one package-level const or var on a line of its own,
// with a literal for a value and a trailing comment that starts with "range" or
// "one of". Anything after a semicolon is for people.
//
//	MatrixLR  = 0.02   // range 0.001..0.1 log; Muon's step
//	Momentum  = 0.95   // range 0.8..0.99
//	Depth     = 4      // range 1..12 int
//	BatchSize = 8      // one of 4, 8, 16
//	Window    = "SSSL" // one of L, SL, SSSL
//	Tied      = false  // one of false, true
//
// A range without int is a range of real numbers, whose values are always
// written as floating-point literals, so that a division of constants never
// turns into an integer division. Both ends belong to the range. With log, steps
// are factors, and the lower end is above zero.
//
// # Why our own TPE
//
// The one Go library with a Tree-structured Parzen Estimator, goptuna (last
// release 2023), keeps a study object, a storage and its own random source, so
// a suggestion cannot be made again from recorded results; and it proposes all
// constants at once, where we want one atomic change that a person can read.
//
// # Errors
//
// A malformed constant is named by line and rule. [ErrExhausted] says that
// there is nothing left to try.
package search
