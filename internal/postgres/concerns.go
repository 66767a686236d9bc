package postgres

import (
	"context"
	"time"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

const concernsSQL = `
SELECT
    ARRAY(SELECT marketplace || '/' || environment FROM pools WHERE provider = $1 AND claims_suspended_at IS NOT NULL ORDER BY 1) AS claims,
    ARRAY(SELECT marketplace || '/' || environment FROM pools WHERE provider = $1 AND verification_suspended_at IS NOT NULL ORDER BY 1)
        AS verification,
    w.failed, w.by_hand, k.expiring, k.first
FROM (SELECT count(*) FILTER (WHERE disabled_by = '` + deliveriesActor + `') AS failed,
             count(*) FILTER (WHERE disabled_by <> '` + deliveriesActor + `') AS by_hand
      FROM webhooks WHERE provider = $1 AND NOT enabled) w,
     (SELECT count(*) AS expiring, min(expires_at) AS first FROM api_keys
      WHERE provider = $1 AND revoked_at IS NULL AND replaced_by IS NULL
        AND expires_at > now() AND expires_at <= now() + $2 * interval '1 second') k`

// Concerns reads what needs someone among the pools, webhooks and API keys of a provider.
func (s Providers) Concerns(ctx context.Context, provider string) (provision.Concerns, error) {
	var row struct {
		Claims       pq.StringArray `db:"claims"`
		Verification pq.StringArray `db:"verification"`
		Failed       int            `db:"failed"`
		ByHand       int            `db:"by_hand"`
		Expiring     int            `db:"expiring"`
		First        *time.Time     `db:"first"`
	}
	err := s.db.GetContext(ctx, &row, concernsSQL, provider, provision.KeyExpiresSoon.Seconds())
	return provision.Concerns{
		ClaimsSuspended: row.Claims, VerificationSuspended: row.Verification,
		WebhooksDisabled: row.Failed, WebhooksDisabledByHand: row.ByHand,
		KeysExpiring: row.Expiring, FirstExpiry: row.First,
	}, err
}
