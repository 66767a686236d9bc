package main

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// mostIDs is the size of a file of ids.
const mostIDs = 4 << 20

// shownBefore is how many items a review shows.
const shownBefore = 10

// idOptions name what a verb is applied to, one by one.
type idOptions struct {
	IDs  []string `arg:"" optional:"" name:"id" help:"Ids. Several are treated one after the other."`
	File string   `help:"File with ids, one a line; empty lines and lines that begin with # are ignored. -: the standard input." placeholder:"FILE"`
}

// ids returns the ids that are named, each once.
func (o idOptions) ids(e *env) ([]string, error) {
	ids := slices.Clone(o.IDs)
	if o.File != "" {
		text, _, err := readFile(e, o.File, mostIDs)
		if err != nil {
			return nil, err
		}
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			if id := strings.TrimSpace(lines.Text()); id != "" && !strings.HasPrefix(id, "#") {
				ids = append(ids, id)
			}
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(ids, func(id string) bool {
		again := seen[id]
		seen[id] = true
		return again
	}), nil
}

// yesOptions let a script answer the question of a verb.
type yesOptions struct {
	Yes bool `short:"y" help:"Do not ask."`
}

// reasonOptions hold the reason of a verb, which the history shows.
type reasonOptions struct {
	Reason string `help:"Why. The history shows it; do not name people." required:"" placeholder:"TEXT"`
}

// whyOptions hold the reason of a verb that needs none.
type whyOptions struct {
	Reason string `help:"Why. The history shows it; do not name people." placeholder:"TEXT"`
}

// target is something that a verb is applied to.
type target struct {
	id   string
	what string // a few words for the review; empty: nothing is known
}

// targetsOf are targets of which nothing but the id is known.
func targetsOf(ids []string) []target {
	targets := make([]target, len(ids))
	for i, id := range ids {
		targets[i] = target{id: id}
	}
	return targets
}

// bulk applies a verb to targets, one after the other.
type bulk struct {
	outputOptions
	yesOptions
	verb     string // such as "retry"
	noun     string // such as "order"
	plural   string // default: the noun with an s
	targets  []target
	destroys bool // asks even for a single target
	selected bool // a filter chose the targets: asks even for a single one
	count    int  // of the targets, if not all are known; 0: they are

	// do applies the verb. It returns the API's JSON, and a few words about the result.
	do func(id string) (raw []byte, result string, err error)
}

// run shows what will happen, asks if that is wise, and prints a result for each target.
func (b bulk) run(e *env) error {
	if len(b.targets) == 0 {
		fmt.Fprintf(e.logs, "no %s matches: there is nothing to %s\n", b.noun, b.verb)
		return nil
	}
	if b.destroys || b.selected || len(b.targets) > 1 {
		if err := b.confirm(e); err != nil {
			return err
		}
	}
	var failures []error
	for done, t := range b.targets {
		if e.ctx.Err() != nil {
			fmt.Fprintf(e.logs, "stopped after %d of %d\n", done, len(b.targets))
			return e.ctx.Err()
		}
		raw, result, err := b.do(t.id)
		switch {
		case err != nil && len(b.targets) == 1:
			return err
		case err != nil:
			failures = append(failures, err)
			fmt.Fprintf(e.logs, "%s: %s\n", t.id, inWords(err))
		case b.JSON:
			if err := writeRaw(e, raw); err != nil {
				return err
			}
		case b.Quiet:
			fmt.Fprintln(e.out, t.id)
		default:
			fmt.Fprintf(e.out, "%s: %s\n", t.id, oneLine(result))
		}
	}
	return b.outcome(failures)
}

// outcome is nil when all succeeded, and says how many failed otherwise. When all failed in the same way, so did the command.
func (b bulk) outcome(failures []error) error {
	if len(failures) == 0 {
		return nil
	}
	same := !slices.ContainsFunc(failures, func(err error) bool { return exitCode(err) != exitCode(failures[0]) })
	if len(failures) == len(b.targets) && same {
		return fmt.Errorf("all %d failed; the last one: %w", len(failures), failures[len(failures)-1])
	}
	return &partly{len(failures), len(b.targets)}
}

// confirm shows the targets and asks. Without a person it refuses, unless --yes was given.
func (b bulk) confirm(e *env) error {
	if b.Yes {
		return nil
	}
	count := cmp.Or(b.count, len(b.targets))
	what := fmt.Sprintf("%s %d %s", b.verb, count, cmp.Or(b.plural, b.noun+"s"))
	if count == 1 && b.count == 0 {
		what = strings.TrimSpace(fmt.Sprintf("%s %s %s", b.verb, b.noun, b.targets[0].id))
	}
	if !e.answerable {
		return usage("this would %s, and there is no terminal to ask: add --yes", what)
	}
	fmt.Fprintf(e.logs, "This will %s:\n", what)
	for i, t := range b.targets {
		if i == shownBefore {
			fmt.Fprintf(e.logs, "  … and %d more\n", count-shownBefore)
			break
		}
		fmt.Fprintln(e.logs, strings.TrimRight("  "+t.id+"  "+oneLine(t.what), " "))
	}
	fmt.Fprint(e.logs, "Continue? [y/N] ")
	var answer string
	_, _ = fmt.Fscanln(e.in, &answer) // no answer is a no
	if !slices.Contains([]string{"y", "yes"}, strings.ToLower(answer)) {
		return usage("nothing was done")
	}
	return nil
}
