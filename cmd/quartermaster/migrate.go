package main

import (
	"fmt"

	"quartermaster/internal/postgres"
	"quartermaster/migrations"
)

type migrateCommand struct {
	databaseOptions
}

// Run applies the migrations that are missing. Several processes may run it at the same time.
func (c *migrateCommand) Run(e *env) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	db, err := postgres.OpenToMigrate(e.ctx, url)
	if err != nil {
		return err
	}
	e.onClose(db.Close)
	applied, err := migrations.Up(e.ctx, db.DB)
	if err != nil {
		return err
	}
	if len(applied) == 0 {
		fmt.Fprintln(e.out, "the schema is up to date")
	}
	for _, migration := range applied {
		fmt.Fprintln(e.out, "applied", migration)
	}
	return nil
}
