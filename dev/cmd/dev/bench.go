package main

import (
	"context"
	"os"

	measure "quartermaster/dev/bench"
)

// bench holds the arguments of `dev bench`.
type bench struct {
	Only    string `help:"Measure only this." placeholder:"NAME"`
	Profile string `help:"Folder for profiles: the most expensive SQL statements, and CPU profiles by perf." type:"path" placeholder:"FOLDER"`
}

func (b bench) run(ctx context.Context) error {
	figures, err := measure.Run(ctx, measure.Options{
		Progress: os.Stderr, Only: b.Only, Profile: b.Profile,
	})
	if err != nil {
		return err
	}
	return measure.WriteTable(os.Stdout, figures)
}
