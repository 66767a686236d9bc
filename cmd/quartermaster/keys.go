package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"quartermaster/api"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

type keysCommand struct {
	Create createKeyCommand `cmd:"" help:"Make an API key of a provider. It is shown once."`
	List   listKeysCommand  `cmd:"" help:"List the API keys of a provider, newest first. What a key reads as text is kept nowhere."`
	Rotate rotateKeyCommand `cmd:"" help:"Make an API key that takes the place of another one, which lives beside it for a while. It is shown once."`
	Revoke revokeKeyCommand `cmd:"" help:"End an API key at once."`

	Seal   sealKeyCommand    `cmd:"" help:"Make a key for QM_SEAL_KEYS."`
	Status keysStatusCommand `cmd:"" help:"Show which keys seal, which processes have them, what needs them, and the next safe step of a rotation."`
	Reseal resealCommand     `cmd:"" help:"Seal passwords and webhook secrets again, with the key that seals now, so that an older key is no longer needed for them."`
}

type createKeyCommand struct {
	databaseOptions
	Provider string            `help:"Provider id." required:""`
	Name     string            `help:"What the key is for." required:""`
	Role     provision.Role    `help:"What the key may do: marketplace (orders), viewer (looks), operator (stock, mends orders) or admin (everything)." enum:"marketplace,viewer,operator,admin" default:"marketplace"`
	Scope    []provision.Scope `help:"Only these of the role's scopes, such as orders:read; repeat it for several. Unset: all of them."`
	Expires  time.Duration     `help:"How long it works; 0 = until it is revoked." default:"8760h"`
	Rate     float64           `help:"How many requests a second it may send; 0 = the server's limit."`
}

// Run makes the key and prints it.
func (c *createKeyCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	text, key := api.NewKey(c.Provider, c.Name, c.Role)
	key.Scopes = c.Scope
	now := time.Now()
	if c.Expires != 0 {
		end := now.Add(c.Expires)
		key.ExpiresAt = &end
	}
	if c.Rate != 0 {
		key.RateLimit = &c.Rate
	}
	if wrong := provision.ValidateAPIKey(key, now); len(wrong) > 0 {
		return &provision.InvalidError{Fields: wrong}
	}
	if _, err := store.APIKeys.Create(e.ctx, cliActor(), key); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, text)
	return err
}

type listKeysCommand struct {
	databaseOptions
	Provider string `help:"Provider id." required:""`
	All      bool   `help:"Also those that have expired or are revoked."`
}

const keysPage = 500

// Run prints the keys.
func (c *listKeysCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tNAME\tROLE\tSCOPES\tRATE\tCREATED\tBY\tEXPIRES\tLAST USED\tSTATE")
	var after *provision.KeyCursor
	for {
		keys, err := store.APIKeys.List(e.ctx, c.Provider, keysPage, after)
		if err != nil {
			return err
		}
		now := time.Now()
		for _, k := range keys {
			if !c.All && !k.Live(now) {
				continue
			}
			scopes, rate := "all of the role", "server's"
			if len(k.Scopes) > 0 {
				scopes = provision.JoinWords(k.Rights(), "and")
			}
			if k.RateLimit != nil {
				rate = fmt.Sprintf("%g/s", *k.RateLimit)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Role, scopes, rate, timeOr(&k.CreatedAt, ""), k.CreatedBy,
				timeOr(k.ExpiresAt, "never"), timeOr(k.LastUsedAt, "never"), keyState(k, now))
		}
		if len(keys) < keysPage {
			return table.Flush()
		}
		last := keys[len(keys)-1]
		after = &provision.KeyCursor{CreatedAt: last.CreatedAt, ID: last.ID}
	}
}

func timeOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.UTC().Format(time.RFC3339)
}

func keyState(k provision.APIKey, now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case !k.Live(now):
		return "expired"
	case k.ReplacedBy != "":
		return "replaced by " + k.ReplacedBy
	}
	return "live"
}

type rotateKeyCommand struct {
	databaseOptions
	Provider string        `help:"Provider id." required:""`
	ID       string        `arg:"" help:"Id of the key: what stands between qm_live_ and the next _."`
	Overlap  time.Duration `help:"How long the old key lives beside the new one: 1h to 720h." default:"24h"`
}

// Run makes the new key and prints it.
func (c *rotateKeyCommand) Run(e *env) error {
	if c.Overlap < provision.KeyOverlapShortest || c.Overlap > provision.KeyOverlapLongest {
		return fmt.Errorf("--overlap is %s: use %s to %s; to end the old key sooner, revoke it", c.Overlap, provision.KeyOverlapShortest, provision.KeyOverlapLongest)
	}
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	old, err := store.APIKeys.Get(e.ctx, c.Provider, c.ID)
	if err != nil {
		return err
	}
	now := time.Now()
	text, successor := api.Successor(old, now)
	_, old, err = store.APIKeys.Rotate(e.ctx, cliActor(), c.Provider, c.ID, successor, now.Add(c.Overlap))
	if err != nil {
		return err
	}
	e.log.Info("the old key lives on for a while", "key", old.ID, "until", timeOr(old.ExpiresAt, "never"))
	_, err = fmt.Fprintln(e.out, text)
	return err
}

type revokeKeyCommand struct {
	databaseOptions
	Provider string `help:"Provider id." required:""`
	ID       string `arg:"" help:"Id of the key: what stands between qm_live_ and the next _."`
}

// Run revokes the key. It may be the last one: whoever runs this can make another.
func (c *revokeKeyCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	key, err := store.APIKeys.Revoke(e.ctx, cliActor(), c.Provider, c.ID, false)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, "revoked", key.ID, "at", timeOr(key.RevokedAt, ""))
	return err
}

type sealKeyCommand struct {
	ID string `arg:"" help:"Id of the key: it stands beside everything that the key seals." default:"k1"`
}

// Run prints a new key.
func (c *sealKeyCommand) Run(e *env) error {
	_, err := fmt.Fprintln(e.out, secrets.GenerateKey(c.ID))
	return err
}
