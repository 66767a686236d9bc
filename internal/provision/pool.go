package provision

import (
	"fmt"
	"slices"
	"time"
)

// Environment separates production stock from test stock.
type Environment string

// The environments of a pool.
const (
	Production Environment = "production"
	Test       Environment = "test"
)

// Pool names the stock that an order draws from.
type Pool struct {
	Provider    string      `json:"provider"    db:"provider"`
	Marketplace string      `json:"marketplace" db:"marketplace"`
	Environment Environment `json:"environment" db:"environment"`
}

// String returns the pool as operators read it: provider/marketplace/environment.
func (p Pool) String() string {
	return p.Provider + "/" + p.Marketplace + "/" + string(p.Environment)
}

// PoolConfig is a pool as its provider sees and configures it.
type PoolConfig struct {
	Pool
	Version         int64 // counts the changes; the API's ETag
	CreatedAt       time.Time
	Settings        PoolSettings
	StockThreshold  *int          // the stock is low when this many accounts of any model are Ready, or fewer; nil: no threshold
	ModelThresholds map[Model]int // the same per model
	RenotifyEvery   time.Duration // how often an open alert that no one has acknowledged is repeated
	SuspendedAt     *time.Time    // since when verification makes no account of the pool Invalid; nil: it does
	// ClaimsSuspendedAt is since when orders get no account of the pool, because sessions could not be opened in several of
	// them; nil: orders get accounts.
	ClaimsSuspendedAt      *time.Time
	ClaimsSuspendedBecause string
}

// DefaultPool returns the pool with the settings that it has until its provider changes them.
func DefaultPool(pool Pool) PoolConfig {
	return PoolConfig{
		Pool: pool,
		Settings: PoolSettings{
			AlternateContactTypes: slices.Clone(contactTypes),
			ReportKind:            DataExport,
			ReportRegion:          "us-east-1",
			ReportPrefix:          "cur",
			UserPolicyARNs:        []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", changePasswordPolicy},
			OnFailure:             OnFailureReturn,
			ActionDeadline:        14 * 24 * time.Hour,
			ProvideRootUser:       true,
		},
		RenotifyEvery: 24 * time.Hour,
	}
}

// Warnings describes settings that are allowed but need an operator's attention.
func (c PoolConfig) Warnings() (warnings []string) {
	s := c.Settings
	if region := s.ReportRegion; slices.Contains(bucketRegions, region) && !slices.Contains(enabledRegions, region) {
		warnings = append(warnings, fmt.Sprintf("report_region: AWS does not enable the region %s automatically; "+
			"enable it in every account of the pool", region))
	}
	if _, known := BoundaryAllowsFirstSignIn(s.PermissionsBoundary); !known {
		warnings = append(warnings, fmt.Sprintf(
			"permissions_boundary_arn: %s must allow iam:ChangePassword and iam:GetAccountPasswordPolicy "+
				"in every account of the pool; otherwise customers cannot change the first password and so cannot sign in",
			s.PermissionsBoundary))
	}
	return warnings
}

// PoolHistoryEntry is one change of a pool.
type PoolHistoryEntry struct {
	Seq   int64     `db:"seq"`
	At    time.Time `db:"at"`
	Actor string    `db:"actor"`
	What  string    `db:"what"`      // the setting; "created" for the pool's first entry
	Old   []byte    `db:"old_value"` // JSON; nil: there was no value
	New   []byte    `db:"new_value"`
}

// ProtectedAccount is an AWS account that Quartermaster never touches: a payer account, or one of the provider's own.
type ProtectedAccount struct {
	AccountID string    `db:"account_id"`
	Note      string    `db:"note"`
	CreatedAt time.Time `db:"created_at"`
	CreatedBy string    `db:"created_by"`
}

// ProtectedMessage says why an account is refused.
func ProtectedMessage(accountID string) string {
	return "account " + accountID + " is protected: a payer account or one of the provider's own accounts cannot be in a pool"
}
