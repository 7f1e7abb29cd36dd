package ledger

import "errors"

// ErrDamaged is returned, wrapped with the name of what is wrong, when the
// decisions of a campaign are not 0, 1, 2, ... without a gap, or one of them
// cannot be read.
var ErrDamaged = errors.New("the ledger is damaged")
