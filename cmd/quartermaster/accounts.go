package main

import (
	"fmt"
	"net/http"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type accountsCommand struct {
	List       listAccountsCommand    `cmd:"" help:"List accounts, oldest first."`
	Show       showAccountCommand     `cmd:"" help:"Show accounts: their status, why, and their external ids."`
	Counts     countAccountsCommand   `cmd:"" help:"Count accounts by status."`
	Create     createAccountCommand   `cmd:"" help:"Add an account to a pool. The answer has the external id that its role must require."`
	Update     updateAccountCommand   `cmd:"" help:"Change an account that is Ready or Invalid."`
	Import     importAccountsCommand  `cmd:"" help:"Add the accounts of a CSV file and report faulty rows. Importing it again is safe."`
	Export     exportAccountsCommand  `cmd:"" help:"Print accounts as CSV, with their external ids. The output can be imported."`
	Template   accountTemplateCommand `cmd:"" help:"Print the header of a CSV file for an import."`
	Role       accountRoleCommand     `cmd:"" help:"Print the IAM policies of an account's role and of the workers' own identity."`
	Checks     accountChecksCommand   `cmd:"" help:"Show each check of an account's last verification."`
	Changes    accountChangesCommand  `cmd:"" help:"Show what orders changed in an account, and what was put back."`
	Verify     verifyAccountsCommand  `cmd:"" help:"Verify accounts now. Nothing changes in them."`
	Invalidate invalidateCommand      `cmd:"" help:"Make accounts Invalid: orders no longer take them."`
	Return     returnAccountsCommand  `cmd:"" help:"Make accounts Ready again, once their verification passes."`
	Clean      cleanAccountsCommand   `cmd:"" aliases:"remove-leftovers" help:"Remove what an order left in accounts, by running its undo again."`
	Delete     deleteAccountsCommand  `cmd:"" help:"Remove accounts from their pools. Nothing changes in AWS."`
	History    accountHistoryCommand  `cmd:"" help:"Show who did what to an account, when and why."`
}

// accountFilter selects accounts.
type accountFilter struct {
	Status      []provision.AccountStatus `help:"Only accounts with this status: ready, provisioning, allocated, provisioning_failed or invalid. Repeat the option, or separate several by commas." placeholder:"STATUS"`
	Marketplace string                    `help:"Only accounts of this marketplace." placeholder:"ID"`
	Environment string                    `help:"Only accounts of this environment: production or test." enum:",production,test" default:"" placeholder:"ENVIRONMENT"`
	Model       string                    `help:"Only accounts of this model." placeholder:"MODEL"`
	Search      string                    `help:"Only accounts that match this text: the beginning of the account id, the order that holds the account, or beginnings of words in its name and root e-mail." placeholder:"TEXT"`
	ToVerify    bool                      `help:"Only accounts that become Ready when their verification passes."`
	Finding     bool                      `help:"Only accounts whose last verification did not pass."`
}

// given reports whether the filter selects anything.
func (f accountFilter) given() bool {
	return len(f.Status) > 0 || f.Marketplace+f.Environment+f.Model+f.Search != "" || f.ToVerify || f.Finding
}

// list returns the list of the accounts that match.
func (f accountFilter) list(e *env, api *client.Client) listing[openapi.Account] {
	return listing[openapi.Account]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListAccounts(e.ctx, &openapi.ListAccountsParams{
				Status:      namedList(f.Status),
				Marketplace: named(f.Marketplace),
				Environment: named(provision.Environment(f.Environment)),
				Model:       named(provision.Model(f.Model)),
				Search:      named(f.Search),
				Limit:       limit,
				Cursor:      cursor,

				WaitingForVerification: named(f.ToVerify),
				HasFinding:             named(f.Finding),
			})
		},
		headings: []string{"ACCOUNT", "MODEL", "MARKETPLACE", "STATUS", "SINCE", "ORDER", "WHY"},
		cells: func(a openapi.Account) []any {
			return []any{a.ID, a.Model, a.Marketplace + "/" + string(a.Environment), a.StatusLabel, e.when(a.StatusSince), orDash(a.OrderID),
				whyAccount(a)}
		},
		id: func(a openapi.Account) string { return a.ID },
	}
}

// whyAccount says in a line why an account has its status.
func whyAccount(a openapi.Account) string {
	if a.Finding != nil {
		return or(a.Reason, "verification failed") + "; " + *a.Finding
	}
	return or(a.Reason, "-")
}

type listAccountsCommand struct {
	apiOptions
	outputOptions
	pageOptions
	accountFilter
}

// Run prints the accounts.
func (c *listAccountsCommand) Run(e *env, api *client.Client) error {
	return c.list(e, api).write(e, c.outputOptions, c.pageOptions)
}

type showAccountCommand struct {
	apiOptions
	outputOptions
	IDs []string `arg:"" name:"id" help:"AWS account ids, 12 digits."`
}

// Run prints the accounts.
func (c *showAccountCommand) Run(e *env, api *client.Client) error {
	for i, id := range c.IDs {
		account, raw, err := client.Object[openapi.Account](api.GetAccount(e.ctx, id))
		if err != nil {
			return err
		}
		if i > 0 && !c.JSON && !c.Quiet {
			fmt.Fprintln(e.out)
		}
		if err := writeObject(e, c.outputOptions, account, raw, account.ID, showAccount); err != nil {
			return err
		}
	}
	return nil
}

// showAccount prints an account for a person.
func showAccount(e *env, a openapi.Account) error {
	f := newFacts(e.out)
	f.add("account", a.ID)
	f.add("status", fmt.Sprintf("%s since %s", a.StatusLabel, e.when(a.StatusSince)))
	f.add("why", or(a.Reason, ""))
	f.add("finding", or(a.Finding, ""))
	if a.Place != nil {
		f.add("place in line", *a.Place)
	}
	f.add("order", or(a.OrderID, ""))
	f.add("pool", a.Marketplace+"/"+string(a.Environment))
	f.add("model", a.Model)
	f.add("name", a.Name)
	f.add("root e-mail", a.RootEmail)
	f.add("role", a.RoleARN)
	f.add("external id", a.ExternalID)
	f.add("added", e.when(a.AddedAt))
	f.add("verified", e.whenOr(a.VerifiedAt, "never"))
	f.add("next verification", e.whenOr(a.VerifyAt, ""))
	f.add("being cleaned since", e.whenOr(a.RemovingSince, ""))
	return f.out.Flush()
}

type createAccountCommand struct {
	apiOptions
	outputOptions
	poolOptions
	ID        string `arg:"" help:"AWS account id, 12 digits."`
	Model     string `help:"Account model, such as SPAM or ECAM." required:""`
	Name      string `help:"Name of the account, for people." required:""`
	RootEmail string `help:"E-mail address of the root user." required:"" placeholder:"ADDRESS"`
	RoleARN   string `name:"role-arn" help:"Role to assume in the account." required:"" placeholder:"ARN"`
}

// Run adds the account. An answer that was lost is not repeated, because the repeat would be refused: the account is in the pool.
func (c *createAccountCommand) Run(e *env, api *client.Client) error {
	account, raw, err := client.Object[openapi.Account](api.CreateAccount(client.Once(e.ctx), openapi.NewAccount{
		ID: c.ID, Marketplace: c.Marketplace, Environment: provision.Environment(c.Environment), Model: provision.Model(c.Model),
		Name: c.Name, RootEmail: c.RootEmail, RoleARN: c.RoleARN,
	}))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, account, raw, account.ID, showAccount)
}

// anyVersion is an ETag that every version has. A command changes what its user names, whatever else has changed.
var anyVersion = named("*")

type updateAccountCommand struct {
	apiOptions
	outputOptions
	ID        string `arg:"" help:"AWS account id, 12 digits."`
	Model     string `help:"Account model, such as SPAM or ECAM." placeholder:"MODEL"`
	Name      string `help:"Name of the account, for people." placeholder:"NAME"`
	RootEmail string `help:"E-mail address of the root user." placeholder:"ADDRESS"`
	RoleARN   string `name:"role-arn" help:"Role to assume in the account." placeholder:"ARN"`
}

// Run changes the account and prints it.
func (c *updateAccountCommand) Run(e *env, api *client.Client) error {
	update := openapi.AccountUpdate{
		Model: named(provision.Model(c.Model)), Name: named(c.Name), RootEmail: named(c.RootEmail), RoleARN: named(c.RoleARN),
	}
	if update == (openapi.AccountUpdate{}) {
		return usage("no change is named: use --model, --name, --root-email or --role-arn")
	}
	version := &openapi.UpdateAccountParams{IfMatch: anyVersion}
	account, raw, err := client.Object[openapi.Account](api.UpdateAccount(e.ctx, c.ID, version, update))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, account, raw, account.ID, showAccount)
}

type accountHistoryCommand struct {
	apiOptions
	outputOptions
	pageOptions
	ID string `arg:"" help:"AWS account id, 12 digits."`
}

// Run prints the history, oldest first.
func (c *accountHistoryCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.AccountHistoryEntry]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListAccountHistory(e.ctx, c.ID, &openapi.ListAccountHistoryParams{Limit: limit, Cursor: cursor})
		},
		headings: []string{"WHEN", "WHO", "FROM", "TO", "ORDER", "WHY"},
		cells: func(h openapi.AccountHistoryEntry) []any {
			return []any{e.when(h.At), h.Actor, orDash(h.FromStatus), h.ToStatus, orDash(h.OrderID), orDash(h.Reason)}
		},
		id: func(h openapi.AccountHistoryEntry) string { return h.ToStatus },
	}.write(e, c.outputOptions, c.pageOptions)
}
