package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// What an order creates in AWS carries these tags from the moment of its creation: what does not carry the order's nonce
// is not ours, whatever its name is.
const (
	tagOrder     = "mp:order-id"
	tagNonce     = "mp:order-nonce" // random, one for each order
	tagManagedBy = "mp:managed-by"
	managedBy    = "quartermaster"
)

// userPath is where our users live, so that the role's policy can be limited to them.
const userPath = "/marketplace/"

// changePassword lets a user replace the password that must be changed at the first sign-in: without it the customer
// would be locked out. Every user gets it, besides the policies of the pool's settings.
// Source: IAM User Guide, "Permit IAM users to change their own passwords".
const changePassword = "arn:aws:iam::aws:policy/IAMUserChangePassword"

// tag is a tag of any AWS service.
type tag struct{ key, value string }

func (w Assignment) tags() []tag {
	return []tag{{tagOrder, w.Order.String()}, {tagNonce, w.Nonce}, {tagManagedBy, managedBy}}
}

// owns tells by its tags whether a thing was created by this order.
func (w Assignment) owns(tags []tag) bool {
	return w.Nonce != "" && slices.Contains(tags, tag{tagNonce, w.Nonce}) && slices.Contains(tags, tag{tagOrder, w.Order.String()})
}

// tagsOf converts a service's own tag type.
func tagsOf[T any](tags []T, convert func(T) (key, value *string)) []tag {
	out := make([]tag, 0, len(tags))
	for _, t := range tags {
		if key, value := convert(t); key != nil && value != nil {
			out = append(out, tag{*key, *value})
		}
	}
	return out
}

// nonceHash names what the order creates: it cannot be guessed before it exists, and a repeat arrives at the same name.
func (w Assignment) nonceHash() string {
	sum := sha256.Sum256([]byte(w.Nonce))
	return hex.EncodeToString(sum[:])[:12]
}

// reportName is the name of the report that the order creates.
func (w Assignment) reportName() string { return "mp-cur-" + w.nonceHash() }

// bucketName is the name of its bucket. Bucket names are unique in all of AWS, so it holds the account's id.
func (w Assignment) bucketName() string { return "mp-cur-" + w.Account.ID + "-" + w.nonceHash() }

// policies are the managed policies of the user.
func (w Assignment) policies() []string {
	out := slices.Clone(w.Settings.UserPolicyARNs)
	if !slices.Contains(out, changePassword) {
		out = append(out, changePassword)
	}
	return out
}

// enter returns a session in the order's account.
func (a *Activities) openSession(ctx context.Context, w Assignment) (*awscloud.Session, error) {
	if err := a.refuseProtected(ctx, w.Account); err != nil {
		return nil, err
	}
	return a.Cloud.OpenSession(ctx, w.Account, w.Order.ID)
}

// refuseProtected keeps us out of the accounts that must never be touched, whatever the pool says.
func (a *Activities) refuseProtected(ctx context.Context, account provision.Account) error {
	protected := slices.Contains(a.ProtectedIDs, account.ID)
	if !protected {
		var err error
		if protected, err = a.ProtectedAccounts.Contains(ctx, account.Provider, account.ID); err != nil {
			return err
		}
	}
	if protected {
		return &provision.Failure{Code: provision.CodeAccountProtected, Reason: "account " + account.ID + " is protected: it is a payer or our own and must not be in a pool"}
	}
	return nil
}
