package main

import (
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

type providersCommand struct {
	Create createProviderCommand `cmd:"" help:"Create a provider, or change the name of one that exists."`
}

type createProviderCommand struct {
	databaseOptions
	ID   string `arg:"" help:"Short id: lower-case letters, digits and hyphens."`
	Name string `help:"Name of the provider, for people." default:""`
}

// Run creates the provider.
func (c *createProviderCommand) Run(e *env, db *postgres.DB) error {
	if c.Name == "" {
		return db.Providers.Create(e.ctx, c.ID, "")
	}
	name, err := freeText("--name", c.Name, provision.MaxName)
	if err != nil {
		return err
	}
	return db.Providers.Create(e.ctx, c.ID, name)
}
