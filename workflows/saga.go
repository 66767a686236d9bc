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

// unwind runs the undos, newest first, all of them, whatever fails. The context must be one that a cancel of the order does not
// reach; when somebody ends the undo, what is not taken back by then is a problem.
// It returns what was left alone on purpose, and what could not be undone.
func (s *saga) unwind(ctx workflow.Context) (notes, problems []string) {
	for i := len(s.undos) - 1; i >= 0; i-- {
		undone, err := s.undos[i].run(ctx)
		notes = append(notes, undone.Notes...)
		switch failure := failureOf(err); {
		case err == nil:
		case ctx.Err() != nil:
			problems = append(problems, s.undos[i].name+": somebody ended the undo before it was taken back")
		default:
			problems = append(problems, s.undos[i].name+": "+failure.Cause())
		}
	}
	return notes, problems
}
