package main

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type keysCommand struct {
	List   listKeysCommand  `cmd:"" help:"List the API keys, newest first. Their texts are stored nowhere."`
	Create createKeyCommand `cmd:"" help:"Create an API key. It may do no more than the key that creates it, and is shown once."`
	Rotate rotateKeyCommand `cmd:"" help:"Create an API key in place of another, which stays valid for a while. The new key is shown once."`
	Revoke revokeKeyCommand `cmd:"" help:"End API keys at once."`
	Roles  rolesCommand     `cmd:"" help:"List the roles, and what each may do."`
}

type createKeyCommand struct {
	apiOptions
	outputOptions
	onceOptions
	Name        string            `help:"What the key is for. Do not name people." required:""`
	Role        provision.Role    `help:"What the key may do: marketplace (place orders), viewer (read), operator (manage stock and orders) or admin (everything)." enum:"marketplace,viewer,operator,admin" default:"marketplace"`
	Scope       []provision.Scope `help:"Only these of the role's scopes, such as orders:read. Repeat the option for several. Unset: all." placeholder:"SCOPE"`
	Marketplace []string          `help:"Marketplace that a key of role marketplace is for. Repeat the option for several." placeholder:"ID"`
	Expires     time.Duration     `help:"How long the key is valid, such as 90d. 0: until it is revoked." default:"365d"`
	Rate        float64           `help:"How many requests a second the key may send. 0: the server's limit."`
}

// Run creates the key and prints it.
func (c *createKeyCommand) Run(e *env, api *client.Client) error {
	key := openapi.NewAPIKey{
		Name: c.Name, Role: c.Role, Scopes: namedList(c.Scope), Marketplaces: namedList(c.Marketplace), RequestsPerSecond: named(c.Rate),
	}
	if end := expiry(c.Expires, time.Now()); end != nil {
		key.ExpiresAt.Set(*end)
	} else {
		key.ExpiresAt.SetNull()
	}
	created, raw, err := client.Object[openapi.NewAPIKeyText](api.CreateAPIKey(e.ctx,
		&openapi.CreateAPIKeyParams{IdempotencyKey: c.idempotencyKey()}, key))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, created, raw, created.APIKey.ID, showNewKey)
}

// expiry returns when a new key expires; nil: never.
func expiry(after time.Duration, now time.Time) *time.Time {
	if after == 0 {
		return nil
	}
	end := now.Add(after)
	return &end
}

func showNewKey(e *env, k openapi.NewAPIKeyText) error {
	fmt.Fprintf(e.logs, "key %s of role %s, valid until %s; it is shown only now:\n", k.APIKey.ID, k.APIKey.Role,
		e.whenOr(k.APIKey.ExpiresAt, "it is revoked"))
	_, err := fmt.Fprintln(e.out, k.Secret)
	return err
}

type listKeysCommand struct {
	apiOptions
	outputOptions
	pageOptions
	Ended bool `help:"Also list keys that have expired or are revoked."`
}

// Run prints the keys.
func (c *listKeysCommand) Run(e *env, api *client.Client) error {
	now := time.Now()
	return listing[openapi.APIKey]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListAPIKeys(e.ctx, &openapi.ListAPIKeysParams{Limit: limit, Cursor: cursor})
		},
		keep:     func(k openapi.APIKey) bool { return c.Ended || live(k, now) },
		headings: []string{"KEY", "NAME", "ROLE", "SCOPES", "MARKETPLACES", "RATE", "CREATED", "BY", "EXPIRES", "LAST USED", "STATE"},
		cells: func(k openapi.APIKey) []any {
			scopes, marketplaces, rate := "all of the role", "all", "server's"
			if k.Marketplaces != nil {
				marketplaces = provision.JoinWords(*k.Marketplaces, "and")
			}
			if len(k.Scopes) < len(k.Role.Scopes()) {
				scopes = provision.JoinWords(k.Scopes, "and")
			}
			if k.RequestsPerSecond != nil {
				rate = fmt.Sprintf("%g/s", *k.RequestsPerSecond)
			}
			return []any{k.ID, k.Name, k.Role, scopes, marketplaces, rate, e.when(k.CreatedAt), orDash(k.CreatedBy), e.whenOr(k.ExpiresAt, "never"),
				e.whenOr(k.LastUsedAt, "never"), keyState(k, now)}
		},
		id: func(k openapi.APIKey) string { return k.ID },
	}.write(e, c.outputOptions, c.pageOptions)
}

// live reports whether a key may be used.
func live(k openapi.APIKey, now time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}

func keyState(k openapi.APIKey, now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case !live(k, now):
		return "expired"
	case k.ReplacedBy != nil:
		return "replaced by " + *k.ReplacedBy
	}
	return "live"
}

type rotateKeyCommand struct {
	apiOptions
	outputOptions
	onceOptions
	ID      string        `arg:"" help:"Id of the key: the part between qm_live_ and the next _."`
	Overlap time.Duration `help:"How long the old key stays valid: 1h to 30d, in full hours." default:"24h"`
}

// Run creates the new key and prints it.
func (c *rotateKeyCommand) Run(e *env, api *client.Client) error {
	if c.Overlap < provision.KeyOverlapShortest || c.Overlap > provision.KeyOverlapLongest || c.Overlap%time.Hour != 0 {
		return usage("--overlap is %s: use full hours from %s to %s, or revoke the old key to end it sooner", c.Overlap,
			provision.KeyOverlapShortest, provision.KeyOverlapLongest)
	}
	hours := int(c.Overlap / time.Hour)
	rotated, raw, err := client.Object[openapi.RotatedAPIKey](api.RotateAPIKey(e.ctx, c.ID,
		&openapi.RotateAPIKeyParams{IdempotencyKey: c.idempotencyKey()}, openapi.KeyRotation{OverlapHours: &hours}))
	if err != nil {
		return err
	}
	fmt.Fprintf(e.logs, "key %s stays valid until %s\n", rotated.Replaced.ID, e.whenOr(rotated.Replaced.ExpiresAt, "it is revoked"))
	created := openapi.NewAPIKeyText{APIKey: rotated.APIKey, Secret: rotated.Secret}
	return writeObject(e, c.outputOptions, created, raw, created.APIKey.ID, showNewKey)
}

type revokeKeyCommand struct {
	apiOptions
	outputOptions
	yesOptions
	idOptions
	whyOptions
}

// Run revokes the keys.
func (c *revokeKeyCommand) Run(e *env, api *client.Client) error {
	ids, err := c.ids(e)
	if err != nil {
		return err
	}
	targets := targetsOf(ids)
	for i, t := range targets {
		key, _, err := client.Object[openapi.APIKey](api.GetAPIKey(e.ctx, t.id))
		if err != nil {
			return err
		}
		targets[i].what = fmt.Sprintf("%s  %s  last used %s", key.Name, key.Role, e.whenOr(key.LastUsedAt, "never"))
	}
	return bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "revoke", noun: "key", targets: targets, destroys: true,
		do: func(id string) ([]byte, string, error) {
			key, raw, err := client.Object[openapi.APIKey](api.RevokeAPIKey(e.ctx, id, openapi.KeyRevocation{Reason: named(c.Reason)}))
			return raw, "revoked at " + cmp.Or(e.whenOr(key.RevokedAt, ""), "an unknown time"), err
		},
	}.run(e)
}

type rolesCommand struct {
	apiOptions
	outputOptions
	pageOptions
}

// Run prints the roles.
func (c *rolesCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.RoleDescription]{
		get:      func(*int, *string) (*http.Response, error) { return api.ListRoles(e.ctx) },
		headings: []string{"ROLE", "MAY", "SCOPES"},
		cells: func(r openapi.RoleDescription) []any {
			return []any{r.Role, r.Description, provision.JoinWords(r.Scopes, "and")}
		},
		id: func(r openapi.RoleDescription) string { return string(r.Role) },
	}.write(e, c.outputOptions, c.pageOptions)
}
