package main

import (
	"fmt"
	"time"

	"quartermaster/api/resource"
	"quartermaster/internal/apikey"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

type keysCommand struct {
	Create createKeyCommand `cmd:"" help:"Create an API key of a provider. The key is shown once."`
	List   listKeysCommand  `cmd:"" help:"List the API keys of a provider, newest first. Their secrets are stored nowhere."`
	Rotate rotateKeyCommand `cmd:"" help:"Create an API key in place of another, which stays valid for a while. The new key is shown once."`
	Revoke revokeKeyCommand `cmd:"" help:"End an API key at once."`

	Seal   createSealKeyCommand  `cmd:"" help:"Create a key for QM_SEAL_KEYS."`
	Status sealKeysStatusCommand `cmd:"" help:"Show the seal keys, which processes have them, what needs them, and the next safe step."`
	Reseal resealCommand         `cmd:"" help:"Seal passwords and webhook secrets again, so that they no longer need an older key."`
}

type createKeyCommand struct {
	databaseOptions
	Provider    string            `help:"Provider id." required:""`
	Name        string            `help:"What the key is for." required:""`
	Role        provision.Role    `help:"What the key may do: marketplace (place orders), viewer (read), operator (manage stock and orders) or admin (everything)." enum:"marketplace,viewer,operator,admin" default:"marketplace"`
	Scope       []provision.Scope `help:"Only these of the role's scopes, such as orders:read. Repeat the option for several. Unset: all."`
	Marketplace []string          `help:"Marketplace that a key of role marketplace is for. Repeat the option for several."`
	Expires     time.Duration     `help:"How long the key is valid. 0: until it is revoked." default:"8760h"`
	Rate        float64           `help:"How many requests a second the key may send. 0: the server's limit."`
}

// Run creates the key and prints it.
func (c *createKeyCommand) Run(e *env, db *postgres.DB) error {
	text, key := apikey.New(c.Provider, provision.CleanText(c.Name), c.Role)
	key.Scopes, key.Marketplaces = c.Scope, c.Marketplace
	now := time.Now()
	if c.Expires != 0 {
		end := now.Add(c.Expires)
		key.ExpiresAt = &end
	}
	if c.Rate != 0 {
		key.RateLimit = &c.Rate
	}
	withPool, err := db.Pools.Marketplaces(e.ctx, c.Provider)
	if err != nil {
		return err
	}
	if wrong := provision.ValidateAPIKey(key, now, withPool); len(wrong) > 0 {
		return &provision.InvalidError{Fields: wrong}
	}
	if _, err := db.APIKeys.Create(e.ctx, cliActor(), key); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, text)
	return err
}

type listKeysCommand struct {
	databaseOptions
	Provider string `help:"Provider id." required:""`
	All      bool   `help:"Also list keys that have expired or are revoked."`
	JSON     bool   `help:"Print one JSON object a line, as the API returns it."`
}

// Run prints the keys.
func (c *listKeysCommand) Run(e *env, db *postgres.DB) error {
	now := time.Now()
	return list[provision.APIKey]{
		read: func(last *provision.APIKey) ([]provision.APIKey, error) {
			var after *provision.KeyCursor
			if last != nil {
				after = &provision.KeyCursor{CreatedAt: last.CreatedAt, ID: last.ID}
			}
			return db.APIKeys.List(e.ctx, c.Provider, pageSize, after)
		},
		keep:     func(k provision.APIKey) bool { return c.All || k.Live(now) },
		headings: []string{"KEY", "NAME", "ROLE", "SCOPES", "MARKETPLACES", "RATE", "CREATED", "BY", "EXPIRES", "LAST USED", "STATE"},
		cells: func(k provision.APIKey) []any {
			scopes, marketplaces, rate := "all of the role", "all", "server's"
			if k.Marketplaces != nil {
				marketplaces = provision.JoinWords(k.Marketplaces, "and")
			}
			if len(k.Scopes) > 0 {
				scopes = provision.JoinWords(k.Rights(), "and")
			}
			if k.RateLimit != nil {
				rate = fmt.Sprintf("%g/s", *k.RateLimit)
			}
			return []any{k.ID, k.Name, k.Role, scopes, marketplaces, rate, timeOr(&k.CreatedAt, ""), k.CreatedBy, timeOr(k.ExpiresAt, "never"),
				timeOr(k.LastUsedAt, "never"), keyState(k, now)}
		},
		json: func(k provision.APIKey) any { return resource.APIKey(k) },
	}.write(e, c.JSON)
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
	ID       string        `arg:"" help:"Id of the key: the part between qm_live_ and the next _."`
	Overlap  time.Duration `help:"How long the old key stays valid: 1h to 720h." default:"24h"`
}

// Run creates the new key and prints it.
func (c *rotateKeyCommand) Run(e *env, db *postgres.DB) error {
	if c.Overlap < provision.KeyOverlapShortest || c.Overlap > provision.KeyOverlapLongest {
		return fmt.Errorf("--overlap is %s: use %s to %s, or revoke the old key to end it sooner", c.Overlap,
			provision.KeyOverlapShortest, provision.KeyOverlapLongest)
	}
	old, err := db.APIKeys.Get(e.ctx, c.Provider, c.ID)
	if err != nil {
		return err
	}
	now := time.Now()
	text, successor := apikey.Successor(old, now)
	_, old, err = db.APIKeys.Rotate(e.ctx, cliActor(), c.Provider, c.ID, successor, now.Add(c.Overlap))
	if err != nil {
		return err
	}
	e.log.Info("the old key stays valid for a while", "key", old.ID, "until", timeOr(old.ExpiresAt, "never"))
	_, err = fmt.Fprintln(e.out, text)
	return err
}

type revokeKeyCommand struct {
	databaseOptions
	Provider string `help:"Provider id." required:""`
	ID       string `arg:"" help:"Id of the key: the part between qm_live_ and the next _."`
}

// Run revokes the key, even when it is the last admin key: the command line can always create another one.
func (c *revokeKeyCommand) Run(e *env, db *postgres.DB) error {
	key, err := db.APIKeys.Revoke(e.ctx, cliActor(), c.Provider, c.ID, false)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, "revoked", key.ID, "at", timeOr(key.RevokedAt, ""))
	return err
}
