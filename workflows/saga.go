package workflows

import (
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
)

// saga remembers how to take back what was done. An undo is registered BEFORE its step runs: a step that took effect and
// whose answer was lost is undone too. So every undo is safe when its step never happened.
type saga struct {
	undos []undo
}

type undo struct {
	name string
	run  func(workflow.Context) (activities.Undone, error)
}

func (s *saga) add(undos ...undo) { s.undos = append(s.undos, undos...) }

// unwind has the undos run, newest first, all of them, whatever fails.
// It returns what was left alone on purpose, and what could not be undone.
func (s *saga) unwind(run func(undo) (activities.Undone, error)) (notes, problems []string) {
	for i := len(s.undos) - 1; i >= 0; i-- {
		undone, err := run(s.undos[i])
		notes = append(notes, undone.Notes...)
		if err != nil {
			failure := failureOf(err)
			problems = append(problems, s.undos[i].name+": "+failure.Cause())
		}
	}
	return notes, problems
}
