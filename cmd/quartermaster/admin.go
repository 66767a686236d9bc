package main

import (
	"encoding/json"
	"fmt"
	"os/user"
	"slices"
	"text/tabwriter"
	"time"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/migrations"
)

type migrateCommand struct {
	databaseOptions
}

// Run applies the migrations that are missing; several at once do no harm.
func (c *migrateCommand) Run(e *env) error {
	db, err := postgres.OpenToMigrate(e.ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
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

type providersCommand struct {
	Add struct {
		databaseOptions
		ID   string `arg:"" help:"Short id: lower-case letters, digits, hyphens."`
		Name string `help:"Name as people know it." default:""`
	} `cmd:"" help:"Add a provider, or change its name."`
}

// Run adds the provider.
func (c *providersCommand) Run(e *env) error {
	store, db, err := c.Add.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return store.Providers.Create(e.ctx, c.Add.ID, c.Add.Name)
}

type poolOptions struct {
	Provider    string                `help:"Provider id." required:""`
	Marketplace string                `help:"Marketplace id." required:""`
	Environment provision.Environment `help:"production or test." enum:"production,test" default:"production"`
}

func (o poolOptions) pool() provision.Pool {
	return provision.Pool{Provider: o.Provider, Marketplace: o.Marketplace, Environment: o.Environment}
}

type accountsCommand struct {
	Add  createAccountCommand `cmd:"" help:"Add an account to a pool."`
	List listAccountsCommand  `cmd:"" help:"List the accounts of a provider, oldest first."`

	Import   importAccountsCommand `cmd:"" help:"Add the accounts of a CSV file. Every faulty row is named; the same file may be imported again."`
	Export   exportAccountsCommand `cmd:"" help:"Print accounts as CSV, with their external ids; what is exported can be imported."`
	Role     accountRoleCommand    `cmd:"" help:"Print the policies of an account's role, filled in: what it may do, who may assume it, and what the workers' own identity needs."`
	Template templateCommand       `cmd:"" help:"Print the header of a CSV file for an import."`
}

type createAccountCommand struct {
	databaseOptions
	poolOptions
	ID         string          `arg:"" help:"AWS account id, 12 digits."`
	Model      provision.Model `help:"SPAM or ECAM." required:""`
	Name       string          `help:"Name of the account." required:""`
	RootEmail  string          `help:"E-mail address of the root user." required:""`
	RoleARN    string          `name:"role-arn" help:"Role to assume in the account." required:""`
	ExternalID string          `help:"External id that the role's trust policy demands, when the role stands already. Unset: a new one is made." env:"-"`

	ProtectedAccounts []string `help:"AWS account ids that never enter a pool: payers, our own. The same as the API's." env:"QM_PROTECTED_ACCOUNTS" placeholder:"ID"`
}

// Run adds the account and prints it, with the external id that the role must demand.
func (c *createAccountCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	account := provision.Account{ID: c.ID, Pool: c.pool(), Model: c.Model, Name: c.Name, RootEmail: c.RootEmail, RoleARN: c.RoleARN, ExternalID: c.ExternalID}
	wrong := provision.ValidateAccount(account)
	if slices.Contains(c.ProtectedAccounts, c.ID) {
		wrong = append(wrong, provision.FieldError{Field: "id", Message: provision.ProtectedMessage(c.ID)})
	}
	if len(wrong) > 0 {
		return &provision.InvalidError{Fields: wrong}
	}
	if account.ExternalID == "" {
		account.ExternalID = provision.NewExternalID()
	}
	added, woken, err := store.Accounts.Create(e.ctx, account, cliActor())
	if err != nil {
		return err
	}
	wake(e, woken)
	fmt.Fprintln(e.logs, verifyDue(e))
	return writeJSON(e, added)
}

type listAccountsCommand struct {
	databaseOptions
	Provider    string                    `help:"Provider id." required:""`
	Marketplace string                    `help:"Only of this marketplace."`
	Status      []provision.AccountStatus `help:"Only in these statuses: ready, provisioning, allocated, provisioning_failed, invalid."`
	JSON        bool                      `help:"A JSON object a line instead of a table."`
}

const accountsPage = 500

// Run prints the accounts.
func (c *listAccountsCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(table, "ACCOUNT\tMODEL\tMARKETPLACE\tENVIRONMENT\tSTATUS\tADDED\tORDER\tREASON")
	}
	filter := provision.AccountFilter{Marketplace: c.Marketplace, Statuses: c.Status, Limit: accountsPage}
	for {
		accounts, err := store.Accounts.List(e.ctx, c.Provider, filter)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			if c.JSON {
				if err := writeJSON(e, a); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.ID, a.Model, a.Marketplace, a.Environment, a.Status.Label(),
				a.AddedAt.UTC().Format(time.RFC3339), a.OrderID, a.Reason)
		}
		if len(accounts) < accountsPage {
			return table.Flush()
		}
		last := accounts[len(accounts)-1]
		filter.After = &provision.AccountCursor{AddedAt: last.AddedAt, ID: last.ID}
	}
}

func writeJSON(e *env, v any) error {
	return json.NewEncoder(e.out).Encode(v)
}

// cliActor is who runs the command, as audit rows name him.
func cliActor() string {
	if who, err := user.Current(); err == nil {
		return "cli " + who.Username
	}
	return "cli unknown"
}
