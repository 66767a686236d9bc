package main

import (
	"time"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

type modelsCommand struct {
	Create createModelCommand `cmd:"" help:"Create an account model. Running processes accept it within a minute, without a restart."`
	List   listModelsCommand  `cmd:"" help:"List the account models."`
}

// accountModel is an account model as the commands print it. The API has no such resource.
type accountModel struct {
	ID         provision.Model `json:"id"`
	Title      string          `json:"title"`
	RootAccess bool            `json:"root_access"`
	CreatedAt  time.Time       `json:"created_at"`
	CreatedBy  string          `json:"created_by"`
}

func modelJSON(m provision.AccountModel) any {
	return accountModel{ID: m.ID, Title: m.Title, RootAccess: m.RootAccess, CreatedAt: m.CreatedAt.UTC(), CreatedBy: m.CreatedBy}
}

type createModelCommand struct {
	databaseOptions
	ID         provision.Model `arg:"" help:"Id of the model, as orders and pools name it, such as SPTM."`
	Title      string          `help:"Name of the model, for people." required:""`
	RootAccess bool            `help:"The customer owns the root user: the result of an order contains the root-access instructions."`
}

// Run creates the model and prints it as JSON.
func (c *createModelCommand) Run(e *env, db *postgres.DB) error {
	title, err := freeText("--title", c.Title, provision.MaxName)
	if err != nil {
		return err
	}
	created, err := db.Models.Create(e.ctx, provision.AccountModel{ID: c.ID, Title: title, RootAccess: c.RootAccess}, cliActor())
	if err != nil {
		return err
	}
	return writeJSON(e, modelJSON(created))
}

type listModelsCommand struct {
	databaseOptions
	JSON bool `help:"Print one JSON object a line."`
}

// Run prints the models, which are few.
func (c *listModelsCommand) Run(e *env, db *postgres.DB) error {
	models, err := db.Models.List(e.ctx)
	if err != nil {
		return err
	}
	rows := newTable(e.out, "MODEL", "TITLE", "ROOT ACCESS", "CREATED", "BY")
	for _, m := range models {
		if c.JSON {
			if err := writeJSON(e, modelJSON(m)); err != nil {
				return err
			}
			continue
		}
		rows.row(m.ID, m.Title, m.RootAccess, e.when(m.CreatedAt), m.CreatedBy)
	}
	if c.JSON {
		return nil
	}
	return rows.flush()
}
