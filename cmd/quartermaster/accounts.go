package main

import (
	"fmt"
	"os/user"
	"slices"

	"quartermaster/api/resource"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

type accountsCommand struct {
	Create   createAccountCommand   `cmd:"" help:"Create an account in a pool."`
	List     listAccountsCommand    `cmd:"" help:"List the accounts of a provider, oldest first."`
	Import   importAccountsCommand  `cmd:"" help:"Create the accounts of a CSV file and report faulty rows. Importing it again is safe."`
	Export   exportAccountsCommand  `cmd:"" help:"Print accounts as CSV, with their external ids. The output can be imported."`
	Template accountTemplateCommand `cmd:"" help:"Print the header of a CSV file for an import."`
	Role     accountRoleCommand     `cmd:"" help:"Print the IAM policies of an account's role and of the workers' own identity."`
}

// protectedOptions name the accounts that the configuration protects, as for the API.
type protectedOptions struct {
	ProtectedAccounts []string `help:"AWS account ids that never enter a pool, such as payer accounts. Use the same list as the API." env:"QM_PROTECTED_ACCOUNTS" placeholder:"ID"`
}

type createAccountCommand struct {
	databaseOptions
	poolOptions
	protectedOptions
	ID         string          `arg:"" help:"AWS account id, 12 digits."`
	Model      provision.Model `help:"Account model, such as SPAM or ECAM." required:""`
	Name       string          `help:"Name of the account." required:""`
	RootEmail  string          `help:"E-mail address of the root user." required:""`
	RoleARN    string          `name:"role-arn" help:"Role to assume in the account." required:""`
	ExternalID string          `help:"External id that an existing role's trust policy requires. Unset: a new one is generated."`
}

// Run creates the account and prints it, with the external id that the trust policy of its role must require.
func (c *createAccountCommand) Run(e *env, db *postgres.DB) error {
	account := provision.Account{ID: c.ID, Pool: c.pool(), Model: c.Model, Name: provision.CleanText(c.Name), RootEmail: c.RootEmail, RoleARN: c.RoleARN,
		ExternalID: c.ExternalID}
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
	created, woken, err := db.Accounts.Create(e.ctx, account, cliActor())
	if err != nil {
		return err
	}
	wake(e, woken)
	fmt.Fprintln(e.logs, verifyDue(e))
	return writeJSON(e, resource.Account(created))
}

type listAccountsCommand struct {
	databaseOptions
	Provider    string                    `help:"Provider id." required:""`
	Marketplace string                    `help:"Only accounts of this marketplace."`
	Status      []provision.AccountStatus `help:"Only these statuses: ready, provisioning, allocated, provisioning_failed, invalid."`
	JSON        bool                      `help:"Print one JSON object a line, as the API returns it."`
}

// Run prints the accounts.
func (c *listAccountsCommand) Run(e *env, db *postgres.DB) error {
	filter := provision.AccountFilter{Marketplace: c.Marketplace, Statuses: c.Status, Limit: pageSize}
	return list[provision.Account]{
		read: func(last *provision.Account) ([]provision.Account, error) {
			return accountsAfter(e, db, c.Provider, filter, last)
		},
		headings: []string{"ACCOUNT", "MODEL", "MARKETPLACE", "ENVIRONMENT", "STATUS", "ADDED", "ORDER", "REASON"},
		cells: func(a provision.Account) []any {
			return []any{a.ID, a.Model, a.Marketplace, a.Environment, a.Status.Label(), timeOr(&a.AddedAt, ""), a.OrderID, a.Reason}
		},
		json: func(a provision.Account) any { return resource.Account(a) },
	}.write(e, c.JSON)
}

// accountsAfter reads the page of accounts after the last one; nil: the first page.
func accountsAfter(
	e *env, db *postgres.DB, provider string, filter provision.AccountFilter, last *provision.Account,
) ([]provision.Account, error) {
	if last != nil {
		filter.After = &provision.AccountCursor{AddedAt: last.AddedAt, ID: last.ID}
	}
	return db.Accounts.List(e.ctx, provider, filter)
}

// cliActor is the actor that history rows name for what a command does.
func cliActor() string {
	if who, err := user.Current(); err == nil {
		return "cli " + who.Username
	}
	return "cli unknown"
}
