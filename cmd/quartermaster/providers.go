package main

import (
	"errors"
	"fmt"
	"os/user"
	"time"

	"quartermaster/internal/apikey"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

type providersCommand struct {
	Create createProviderCommand `cmd:"" help:"Create a provider, or change the name of one that exists."`
	List   listProvidersCommand  `cmd:"" help:"List the providers."`
	Key    providerKeyCommand    `cmd:"" help:"Create an admin key of a provider without having a key: the first one, or when all are lost. It is shown once."`
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

type listProvidersCommand struct {
	databaseOptions
	JSON bool `help:"Print one JSON object a line."`
}

// Run prints the providers, which are few.
func (c *listProvidersCommand) Run(e *env, db *postgres.DB) error {
	providers, err := db.Providers.List(e.ctx)
	if err != nil {
		return err
	}
	rows := newTable(e.out, "PROVIDER", "NAME", "CREATED")
	for _, p := range providers {
		if c.JSON {
			if err := writeJSON(e, p); err != nil {
				return err
			}
			continue
		}
		rows.row(p.ID, p.Name, e.when(p.CreatedAt))
	}
	if c.JSON {
		return nil
	}
	return rows.flush()
}

type providerKeyCommand struct {
	databaseOptions
	Provider string        `arg:"" help:"Provider id."`
	Name     string        `help:"What the key is for. Do not name people." default:"first admin"`
	Expires  time.Duration `help:"How long the key is valid, such as 90d. 0: until it is revoked." default:"365d"`
}

// Run creates the key and prints it. Every other key is created by a key.
func (c *providerKeyCommand) Run(e *env, db *postgres.DB) error {
	name, err := freeText("--name", c.Name, provision.MaxName)
	if err != nil {
		return err
	}
	text, key := apikey.New(c.Provider, name, provision.RoleAdmin)
	now := time.Now()
	key.ExpiresAt = expiry(c.Expires, now)
	if wrong := provision.ValidateAPIKey(key, now, nil); len(wrong) > 0 {
		return &provision.InvalidError{Fields: wrong}
	}
	if _, err := db.APIKeys.Create(e.ctx, cliActor(), key); err != nil {
		return unknownProvider(e, db, c.Provider, err)
	}
	_, err = fmt.Fprintln(e.out, text)
	return err
}

// unknownProvider says which providers exist, if that is what is wrong.
func unknownProvider(e *env, db *postgres.DB, id string, err error) error {
	if !errors.Is(err, provision.ErrNotFound) {
		return err
	}
	providers, listErr := db.Providers.List(e.ctx)
	if listErr != nil {
		return err
	}
	ids := make([]string, len(providers))
	for i, p := range providers {
		ids[i] = p.ID
	}
	return fmt.Errorf("there is no provider %q: use %s, or create it with quartermaster providers create: %w", id,
		provision.JoinWords(ids, "or"), provision.ErrNotFound)
}

// cliActor is the actor that history rows name for what a command does in the database.
func cliActor() string {
	if who, err := user.Current(); err == nil {
		return "cli " + who.Username
	}
	return "cli unknown"
}
