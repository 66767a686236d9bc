package main

import (
	"errors"
	"fmt"
	"time"

	"quartermaster/api/resource"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

type poolsCommand struct {
	Create    createPoolCommand        `cmd:"" help:"Create a pool. A pool that exists is left as it is."`
	List      listPoolsCommand         `cmd:"" help:"List the pools of a provider."`
	Show      showPoolCommand          `cmd:"" help:"Print the settings of a pool, or the history of their changes."`
	Update    updatePoolCommand        `cmd:"" help:"Change settings of a pool, for orders placed from then on. Settings not named stay."`
	Protect   protectCommand           `cmd:"" help:"Protect AWS accounts, such as a payer, from being added, verified or modified."`
	Unprotect unprotectCommand         `cmd:"" help:"Remove the protection of AWS accounts."`
	Protected protectedAccountsCommand `cmd:"" help:"List the protected accounts of a provider."`
}

// poolSettingOptions are the settings; nil leaves one as it is.
type poolSettingOptions struct {
	Report           *provision.ReportKind   `help:"Kind of new report: export (CUR 2.0, Data Exports) or cur (legacy)." placeholder:"KIND"`
	ReportRegion     *string                 `help:"Region of the bucket of a new report." placeholder:"REGION"`
	ReportPrefix     *string                 `help:"Prefix of the objects of a new report."`
	ContactTypes     []string                `help:"Types of the alternate contact that are written: BILLING, OPERATIONS, SECURITY."`
	Policies         []string                `help:"ARNs of the IAM user's policies, besides IAMUserChangePassword." placeholder:"ARN"`
	Boundary         *string                 `help:"ARN of the IAM user's permissions boundary, which must allow iam:ChangePassword and iam:GetAccountPasswordPolicy. Empty: none." placeholder:"ARN"`
	OnFailure        *provision.OnFailure    `help:"What happens to the verified clean account of a failed order: it becomes Ready again (return), or is never used again (park)." enum:"return,park" placeholder:"return|park"`
	WaitDeadline     *time.Duration          `help:"How long an order waits for an account. 0: without limit."`
	ActionDeadline   *time.Duration          `help:"How long an order waits for a correction."`
	ProvideRootUser  *bool                   `help:"Whether results contain the root-access instructions." negatable:""`
	Instructions     map[string]string       `help:"Text for the customers of an account model, with placeholders such as {account_id}. Empty: the built-in text." placeholder:"MODEL=TEXT" mapsep:"none"`
	Threshold        *int                    `help:"The stock is low when this many accounts or fewer are Ready. -1: no threshold."`
	ModelThresholds  map[provision.Model]int `name:"model-threshold" help:"The same for a model. -1: no threshold." placeholder:"MODEL=N"`
	RenotifyInterval *time.Duration          `help:"How often an open alert is repeated."`
}

// apply changes the settings that are named.
func (o poolSettingOptions) apply(c *provision.PoolConfig) {
	provision.SetIfGiven(&c.Settings.ReportKind, o.Report)
	provision.SetIfGiven(&c.Settings.ReportRegion, o.ReportRegion)
	provision.SetIfGiven(&c.Settings.ReportPrefix, o.ReportPrefix)
	provision.SetIfGiven(&c.Settings.PermissionsBoundary, o.Boundary)
	provision.SetIfGiven(&c.Settings.WaitDeadline, o.WaitDeadline)
	provision.SetIfGiven(&c.Settings.ActionDeadline, o.ActionDeadline)
	provision.SetIfGiven(&c.RenotifyEvery, o.RenotifyInterval)
	if o.ContactTypes != nil {
		c.Settings.AlternateContactTypes = o.ContactTypes
	}
	if o.Policies != nil {
		c.Settings.UserPolicyARNs = o.Policies
	}
	provision.SetIfGiven(&c.Settings.OnFailure, o.OnFailure)
	provision.SetIfGiven(&c.Settings.ProvideRootUser, o.ProvideRootUser)
	for model, text := range o.Instructions {
		if c.Settings.Instructions == nil {
			c.Settings.Instructions = map[provision.Model]string{}
		}
		text = provision.CleanText(text)
		if c.Settings.Instructions[provision.Model(model)] = text; text == "" {
			delete(c.Settings.Instructions, provision.Model(model))
		}
	}
	if o.Threshold != nil {
		if c.StockThreshold = o.Threshold; *o.Threshold == noThreshold {
			c.StockThreshold = nil
		}
	}
	for model, threshold := range o.ModelThresholds {
		if c.ModelThresholds == nil {
			c.ModelThresholds = map[provision.Model]int{}
		}
		if c.ModelThresholds[model] = threshold; threshold == noThreshold {
			delete(c.ModelThresholds, model)
		}
	}
}

// noThreshold removes a threshold.
const noThreshold = -1

type createPoolCommand struct {
	databaseOptions
	poolOptions
	poolSettingOptions
}

// Run creates the pool.
func (c *createPoolCommand) Run(e *env, db *postgres.DB) error {
	config := provision.DefaultPool(c.pool())
	c.apply(&config)
	created, err := db.Pools.Create(e.ctx, cliActor(), config)
	if errors.Is(err, provision.ErrConflict) {
		_, err = fmt.Fprintf(e.out, "pool %s exists and stays as it is: change it with quartermaster pools update\n", config.Pool)
		return err
	}
	warn(e, created)
	return err
}

type listPoolsCommand struct {
	databaseOptions
	Provider string `help:"Provider id." required:""`
	JSON     bool   `help:"Print one JSON object a line, as the API returns it."`
}

// Run prints the pools.
func (c *listPoolsCommand) Run(e *env, db *postgres.DB) error {
	return list[provision.PoolConfig]{
		read: func(last *provision.PoolConfig) ([]provision.PoolConfig, error) {
			after := provision.Pool{Provider: c.Provider}
			if last != nil {
				after = last.Pool
			}
			return db.Pools.List(e.ctx, after, pageSize)
		},
		headings: []string{"MARKETPLACE", "ENVIRONMENT", "REPORT", "REGION", "ON FAILURE", "THRESHOLD", "CLAIMS"},
		cells: func(p provision.PoolConfig) []any {
			return []any{p.Marketplace, p.Environment, p.Settings.ReportKind, p.Settings.ReportRegion, p.Settings.OnFailure,
				numberOrDash(p.StockThreshold), claims(p.ClaimsSuspendedAt, p.ClaimsSuspendedBecause)}
		},
		json: func(p provision.PoolConfig) any { return resource.Pool(p) },
	}.write(e, c.JSON)
}

// claims says whether orders get accounts of a pool.
func claims(suspendedAt *time.Time, because string) string {
	if suspendedAt == nil {
		return "-"
	}
	return fmt.Sprintf("suspended since %s: %s", timeOr(suspendedAt, ""), because)
}

// warn prints the warnings about the settings of a pool. They go to the log's output, so that the pool itself stays
// readable for programs.
func warn(e *env, config provision.PoolConfig) {
	for _, warning := range config.Warnings() {
		fmt.Fprintln(e.logs, "warning:", warning)
	}
}

type showPoolCommand struct {
	databaseOptions
	poolOptions
	History bool `help:"Print who changed which setting from what to what, oldest first."`
}

// Run prints the pool as JSON.
func (c *showPoolCommand) Run(e *env, db *postgres.DB) error {
	if c.History {
		return c.history(e, db)
	}
	config, err := db.Pools.Get(e.ctx, c.pool())
	if err != nil {
		return err
	}
	warn(e, config)
	return writeJSON(e, resource.Pool(config))
}

func (c *showPoolCommand) history(e *env, db *postgres.DB) error {
	return list[provision.PoolHistoryEntry]{
		read: func(last *provision.PoolHistoryEntry) ([]provision.PoolHistoryEntry, error) {
			var after int64
			if last != nil {
				after = last.Seq
			}
			return db.Pools.History(e.ctx, c.pool(), after, pageSize)
		},
		headings: []string{"WHEN", "WHO", "WHAT", "FROM", "TO"},
		cells: func(h provision.PoolHistoryEntry) []any {
			return []any{timeOr(&h.At, ""), h.Actor, h.What, string(h.Old), string(h.New)}
		},
	}.write(e, false)
}

type updatePoolCommand struct {
	databaseOptions
	poolOptions
	poolSettingOptions
}

// Run changes the settings and prints the pool as JSON.
func (c *updatePoolCommand) Run(e *env, db *postgres.DB) error {
	config, err := db.Pools.Update(e.ctx, cliActor(), c.pool(), 0, c.apply)
	if err != nil {
		return err
	}
	warn(e, config)
	return writeJSON(e, resource.Pool(config))
}

type protectCommand struct {
	databaseOptions
	Provider string   `help:"Provider id." required:""`
	Note     string   `help:"Why the accounts are protected." required:""`
	Accounts []string `arg:"" help:"AWS account ids, 12 digits."`
}

// Run protects the accounts.
func (c *protectCommand) Run(e *env, db *postgres.DB) error {
	note, err := freeText("--note", c.Note, provision.MaxReason)
	if err != nil {
		return err
	}
	for _, id := range c.Accounts {
		if _, err := db.ProtectedAccounts.Protect(e.ctx, cliActor(), c.Provider, id, note); err != nil {
			return err
		}
	}
	return nil
}

type unprotectCommand struct {
	databaseOptions
	Provider string   `help:"Provider id." required:""`
	Accounts []string `arg:"" help:"AWS account ids, 12 digits."`
}

// Run removes the protection.
func (c *unprotectCommand) Run(e *env, db *postgres.DB) error {
	for _, id := range c.Accounts {
		if err := db.ProtectedAccounts.Release(e.ctx, cliActor(), c.Provider, id); err != nil {
			return err
		}
	}
	return nil
}

type protectedAccountsCommand struct {
	databaseOptions
	Provider string `help:"Provider id." required:""`
	JSON     bool   `help:"Print one JSON object a line, as the API returns it."`
}

// Run lists the protected accounts.
func (c *protectedAccountsCommand) Run(e *env, db *postgres.DB) error {
	return list[provision.ProtectedAccount]{
		read: func(last *provision.ProtectedAccount) ([]provision.ProtectedAccount, error) {
			after := ""
			if last != nil {
				after = last.AccountID
			}
			return db.ProtectedAccounts.List(e.ctx, c.Provider, after, pageSize)
		},
		headings: []string{"ACCOUNT", "SINCE", "BY", "NOTE"},
		cells: func(a provision.ProtectedAccount) []any {
			return []any{a.AccountID, timeOr(&a.CreatedAt, ""), a.CreatedBy, a.Note}
		},
		json: func(a provision.ProtectedAccount) any { return resource.ProtectedAccount(a) },
	}.write(e, c.JSON)
}
