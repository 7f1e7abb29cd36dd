// Package dataset turns what a user names as training data into documents.
//
// A [Source] is found with [Find]: text or parquet on this machine, or a data
// set that is downloaded once, into a cache. [Source.Write] gives [Documents]:
// files for training, for validation and for the audit, in which every document
// ends with one zero byte. The evaluator makes a corpus of them.
//
// # What is a document
//
//   - A text file, or what stands between lines of <|endoftext|> in it.
//   - A row of a parquet file: its column "text", or else its only column of
//     text. The same for the objects in the lines of a .jsonl file.
//
// A document above [maxDocument] bytes is cut, at a blank line if it has one.
// Left out, and counted, are empty documents and those with a zero byte, which
// is what ends a document. In a directory, files that are no text, hidden files
// and symbolic links are left out too, and so is a document that was there
// before: a copy of it must not be trained on if it is in the validation text.
//
// # Which document is for validation, and which for the audit
//
// A data set that comes with validation data keeps them. Of anything else, the
// documents with the lowest hashes are taken, until they are a tenth of the
// text or [valBytes]. The choice looks at nothing but the text of a document
// and the size of all, so it is the same wherever the files lie.
//
// What comes next in the same order, and as much of it, is for the audit:
// scores on it are shown and select nothing, so a gap between the two scores
// tells of candidates that were fitted to the validation text. Too little text
// (less than half would be left to train on, or the validation file that a data
// set brings ends before) means that there is no audit.
//
// # Downloads
//
// A download that breaks off goes on where it was, also after the process was
// killed, if the server can tell that the file is still the same; else it
// starts again. What the server says about length and SHA-256 is checked, a
// parquet file is read to its end, and the SHA-256 is written down: from then
// on, a file with another one is damaged. A damaged download is tried once more.
//
// # How it fails
//
// Every error is an *[Error]: it names the file and what is wrong, and its Hint
// says what to do. An unusable input is told from trouble with network or disk
// by [Error.Input]. A full disk wraps syscall.ENOSPC.
package dataset
