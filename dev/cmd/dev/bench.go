package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	measure "quartermaster/dev/bench"
)

// bench holds the arguments of `dev bench`.
type bench struct {
	Quick       bool     `xor:"size" help:"Measure in two minutes what hardly depends on the machine, and compare it with what is expected."`
	Million     bool     `xor:"size" help:"Measure what depends on the number of accounts, with a million of them."`
	Soak        bool     `xor:"size" help:"Run orders for an hour, or --soak-minutes, and measure whether memory grows."`
	SoakMinutes int      `help:"How long the soak takes." default:"60"`
	Only        []string `help:"Measure only these." placeholder:"NAME"`
	Scale       float64  `help:"Measure so much less or more of everything, for a first look." default:"1"`
	Profile     string   `help:"Folder for profiles: expensive SQL statements, and CPU profiles by perf." type:"path" placeholder:"FOLDER"`
	Expected    string   `help:"File of the expected figures of --quick." type:"path" default:"bench/expected.json" placeholder:"FILE"`
	Record      bool     `help:"With --quick: write the file of expected figures."`
	Write       string   `help:"Write the results into performance.md and scaling.md of this folder." type:"path" placeholder:"FOLDER"`
}

func (b bench) run(ctx context.Context) error {
	began := time.Now()
	options := measure.Options{Progress: os.Stderr, Only: b.Only, Profile: b.Profile, Sizes: measure.Full()}
	switch {
	case b.Quick:
		options.Sizes = measure.Quick()
	case b.Million:
		options.Sizes = measure.Million()
	case b.Soak:
		options.Sizes = measure.Soak(time.Duration(b.SoakMinutes) * time.Minute)
	}
	options.Sizes = options.Scaled(b.Scale)
	figures, costs, failed := measure.Run(ctx, options)
	if b.Quick && failed == nil {
		return b.compare(ctx, options, figures)
	}
	var result bytes.Buffer
	fmt.Fprintf(&result, "%s\n\n", measure.Machine(ctx, began))
	if err := measure.WriteTable(&result, figures); err != nil {
		return err
	}
	_, err := os.Stdout.WriteString(result.String() + "\n" + costs.Sizing())
	if failed == nil && b.Write != "" {
		err = errors.Join(err, measure.Insert(filepath.Join(b.Write, "performance.md"), b.section(), result.String()))
		if sizes := costs.Sizing(); sizes != "" {
			err = errors.Join(err, measure.Insert(filepath.Join(b.Write, "scaling.md"), b.section(), sizes))
		}
	}
	return errors.Join(failed, err)
}

// section is the name of the markers between which the document has the result.
func (b bench) section() string {
	switch {
	case b.Million:
		return "bench-million"
	case b.Soak:
		return "soak"
	}
	return "bench"
}

// compare fails when the figures are much worse than expected, twice: the first time the machine may have been busy.
func (b bench) compare(ctx context.Context, options measure.Options, figures []measure.Figure) error {
	if err := measure.WriteTable(os.Stdout, figures); err != nil {
		return err
	}
	if b.Record {
		file, err := os.Create(b.Expected)
		if err != nil {
			return err
		}
		return errors.Join(measure.WriteExpectations(file, figures), file.Close())
	}
	expected, err := measure.ReadExpectations(b.Expected)
	if err != nil {
		return err
	}
	faults := measure.Compare(figures, expected)
	if len(faults) == 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "measuring again, because of:\n%s\n", strings.Join(faults, "\n"))
	again, _, err := measure.Run(ctx, options)
	if err != nil {
		return err
	}
	if err := measure.WriteTable(os.Stdout, again); err != nil {
		return err
	}
	if faults = measure.Compare(measure.Better(figures, again), expected); len(faults) > 0 {
		return fmt.Errorf("much worse than expected, twice:\n%s", strings.Join(faults, "\n"))
	}
	return nil
}
