package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

type poolsCommand struct {
	Add       createPoolCommand `cmd:"" help:"Add a pool. One that is there stays as it is."`
	List      listPoolsCommand  `cmd:"" help:"List the pools of a provider."`
	Show      showPoolCommand   `cmd:"" help:"Print the settings of a pool as JSON, or who changed them."`
	Set       updatePoolCommand `cmd:"" help:"Change settings of a pool, for the orders that are placed from then on. What is not named stays."`
	Protect   protectCommand    `cmd:"" help:"Keep AWS accounts out of every pool of a provider: payers, its own. Nothing is ever done in them."`
	Unprotect unprotectCommand  `cmd:"" help:"Take the protection of AWS accounts away."`
	Protected protectedCommand  `cmd:"" help:"List the protected accounts of a provider."`
}

// poolSettingOptions are the settings; nil leaves one as it is.
type poolSettingOptions struct {
	Report           *provision.ReportKind   `help:"What a new report is: export (CUR 2.0, Data Exports) or cur (legacy)." placeholder:"KIND"`
	ReportRegion     *string                 `help:"Region of the bucket of a new report." placeholder:"REGION"`
	ReportPrefix     *string                 `help:"Prefix of the objects of a new report."`
	ContactTypes     []string                `help:"Where the alternate contact is written: BILLING, OPERATIONS, SECURITY."`
	Policies         []string                `help:"ARNs of the policies of the IAM user; IAMUserChangePassword is always attached." placeholder:"ARN"`
	Boundary         *string                 `help:"ARN of the IAM user's permissions boundary, which must allow iam:ChangePassword and iam:GetAccountPasswordPolicy; empty for none." placeholder:"ARN"`
	OnFailure        *string                 `help:"A verified clean account of a failed order becomes Ready again (return) or is kept out (park)." enum:"return,park" placeholder:"return|park"`
	WaitDeadline     *time.Duration          `help:"How long an order waits for an account; 0 for ever."`
	ActionDeadline   *time.Duration          `help:"How long an order waits for somebody to correct it."`
	ProvideRootUser  *bool                   `help:"Whether results hold the root-access instructions." negatable:""`
	Instructions     map[string]string       `help:"Text for the customers of an account model, with placeholders such as {account_id}; empty for the built-in one." placeholder:"MODEL=TEXT" mapsep:"none"`
	Threshold        *int                    `help:"The stock is low when so many accounts are Ready; -1 for none."`
	ModelThresholds  map[provision.Model]int `name:"model-threshold" help:"The same for an account model; -1 for none." placeholder:"MODEL=N"`
	RenotifyInterval *time.Duration          `help:"An open alert is told of again so often."`
}

// apply changes what is named.
func (o poolSettingOptions) apply(c *provision.PoolConfig) {
	set(&c.Settings.ReportKind, o.Report)
	set(&c.Settings.ReportRegion, o.ReportRegion)
	set(&c.Settings.ReportPrefix, o.ReportPrefix)
	set(&c.Settings.PermissionsBoundary, o.Boundary)
	set(&c.Settings.WaitDeadline, o.WaitDeadline)
	set(&c.Settings.ActionDeadline, o.ActionDeadline)
	set(&c.RenotifyEvery, o.RenotifyInterval)
	if o.ContactTypes != nil {
		c.Settings.AlternateContactTypes = o.ContactTypes
	}
	if o.Policies != nil {
		c.Settings.UserPolicyARNs = o.Policies
	}
	if o.OnFailure != nil {
		c.Settings.Park = *o.OnFailure == "park"
	}
	if o.ProvideRootUser != nil {
		c.Settings.WithoutRootAccess = !*o.ProvideRootUser
	}
	for model, text := range o.Instructions {
		if c.Settings.Instructions == nil {
			c.Settings.Instructions = map[provision.Model]string{}
		}
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

const noThreshold = -1

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

type createPoolCommand struct {
	databaseOptions
	poolOptions
	poolSettingOptions
}

// Run adds the pool.
func (c *createPoolCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	config := provision.DefaultPool(c.pool())
	c.apply(&config)
	made, err := store.Pools.Create(e.ctx, cliActor(), config)
	if errors.Is(err, provision.ErrConflict) {
		_, err = fmt.Fprintf(e.out, "pool %s is there already and stays as it is: change it with quartermaster pools set\n", config.Pool)
		return err
	}
	warn(e, made)
	return err
}

type listPoolsCommand struct {
	databaseOptions
	Provider string `help:"Provider id." required:""`
	JSON     bool   `help:"A JSON object a line instead of a table."`
}

const poolsPage = 500

// Run prints the pools.
func (c *listPoolsCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(table, "MARKETPLACE\tENVIRONMENT\tREPORT\tREGION\tON FAILURE\tTHRESHOLD\tCLAIMS")
	}
	after := provision.Pool{Provider: c.Provider}
	for {
		pools, err := store.Pools.List(e.ctx, after, poolsPage)
		if err != nil {
			return err
		}
		for _, p := range pools {
			if c.JSON {
				if err := writeJSON(e, p); err != nil {
					return err
				}
				continue
			}
			onFailure := "return"
			if p.Settings.Park {
				onFailure = "park"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Marketplace, p.Environment, p.Settings.ReportKind, p.Settings.ReportRegion, onFailure, number(p.StockThreshold),
				claims(p.ClaimsSuspendedAt, p.ClaimsSuspendedBecause))
		}
		if len(pools) < poolsPage {
			return table.Flush()
		}
		after = pools[len(pools)-1].Pool
	}
}

// claims says whether orders get accounts of a pool.
func claims(suspendedAt *time.Time, because string) string {
	if suspendedAt == nil {
		return "-"
	}
	return fmt.Sprintf("suspended since %s: %s", suspendedAt.UTC().Format(time.RFC3339), because)
}

// warn prints what in the settings of the pool needs somebody's care. It goes to where logs go: the pool itself stays readable for programs.
func warn(e *env, config provision.PoolConfig) {
	for _, warning := range config.Warnings() {
		fmt.Fprintln(e.logs, "warning:", warning)
	}
}

// number is a number that may be missing.
func number(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

type showPoolCommand struct {
	databaseOptions
	poolOptions
	History bool `help:"Who changed which setting from what to what, oldest first."`
}

// Run prints the pool.
func (c *showPoolCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if c.History {
		return c.history(e, store)
	}
	config, err := store.Pools.Get(e.ctx, c.pool())
	if err != nil {
		return err
	}
	warn(e, config)
	return writeJSON(e, config)
}

func (c *showPoolCommand) history(e *env, store *postgres.DB) error {
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHEN\tWHO\tWHAT\tFROM\tTO")
	var after int64
	for {
		events, err := store.Pools.History(e.ctx, c.pool(), after, poolsPage)
		if err != nil {
			return err
		}
		for _, event := range events {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", event.At.UTC().Format(time.RFC3339), event.Actor, event.What, event.Old, event.New)
			after = event.Seq
		}
		if len(events) < poolsPage {
			return table.Flush()
		}
	}
}

type updatePoolCommand struct {
	databaseOptions
	poolOptions
	poolSettingOptions
}

// Run changes the settings and prints the pool.
func (c *updatePoolCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	config, err := store.Pools.Update(e.ctx, cliActor(), c.pool(), 0, c.apply)
	if err != nil {
		return err
	}
	warn(e, config)
	return writeJSON(e, config)
}

type protectCommand struct {
	databaseOptions
	Provider string   `help:"Provider id." required:""`
	Note     string   `help:"Why." required:""`
	Accounts []string `arg:"" help:"AWS account ids, 12 digits."`
}

// Run protects the accounts.
func (c *protectCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if strings.TrimSpace(c.Note) == "" {
		return errors.New("--note: say why, for whoever reads it later")
	}
	for _, id := range c.Accounts {
		if _, err := store.ProtectedAccounts.Protect(e.ctx, cliActor(), c.Provider, id, c.Note); err != nil {
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

// Run takes the protection away.
func (c *unprotectCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for _, id := range c.Accounts {
		if err := store.ProtectedAccounts.Release(e.ctx, cliActor(), c.Provider, id); err != nil {
			return err
		}
	}
	return nil
}

type protectedCommand struct {
	databaseOptions
	Provider string `help:"Provider id." required:""`
}

// Run lists the protected accounts.
func (c *protectedCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACCOUNT\tSINCE\tBY\tNOTE")
	for after := ""; ; {
		accounts, err := store.ProtectedAccounts.List(e.ctx, c.Provider, after, accountsPage)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", a.AccountID, a.CreatedAt.UTC().Format(time.RFC3339), a.CreatedBy, a.Note)
			after = a.AccountID
		}
		if len(accounts) < accountsPage {
			return table.Flush()
		}
	}
}
