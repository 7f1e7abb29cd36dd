package workflows

// Changes of workflow logic that running campaigns must survive.
//
// A campaign runs for days, and its workflows are replayed by whatever version
// of this package its worker has. When a change makes the replay tests fail (it
// alters which commands are issued, or their order), do this:
//
//  1. Give it a named id here, with one line that says why it was made:
//
//	// changeTwoAhead: two experiments are prepared on the candidate that is decided next.
//	const changeTwoAhead = "two-ahead"
//
//  2. Branch on workflow.GetVersion(ctx, changeTwoAhead, workflow.DefaultVersion, 1).
//  3. Record histories of the new code beside the old ones (go run ./workflows/record)
//     and never delete those of a released version.
//  4. Drop the branch when no release that lacks it can have a running campaign.
//
// What a contributor is likely to change (prompt, search, policy, targets) is
// behind activities, whose outcomes are in the history: it needs no id.
//
// There are none so far. Checks needed none: they begin only when a decision
// wants them, and no decision in an older history does.
