package activities

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// Everything that an order creates in AWS carries these tags from the moment of its creation. A resource without the order's nonce
// is not the order's, no matter what its name is. The prefix mp, for marketplace, keeps our tags apart from those of the account's
// other users.
const (
	tagOrder     = "mp:order-id"
	tagNonce     = "mp:order-nonce" // random, one for each order
	tagManagedBy = "mp:managed-by"
	managedBy    = "quartermaster"
)

// namePrefix begins the names of cost reports and of their buckets. The role's policy (deploy/iam) is limited to names that begin
// with it. mp stands for marketplace, cur for cost and usage report.
const namePrefix = "mp-cur-"

// userPath is the path of the users that orders create. The role's policy (deploy/iam) is limited to users under this path.
const userPath = "/marketplace/"

// tag is a tag of any AWS service.
type tag struct{ key, value string }

func (w Assignment) tags() []tag {
	return []tag{{tagOrder, w.Order.String()}, {tagNonce, w.Nonce}, {tagManagedBy, managedBy}}
}

// owns reports whether a resource with these tags was created by this order.
func (w Assignment) owns(tags []tag) bool {
	return w.Nonce != "" && slices.Contains(tags, tag{tagNonce, w.Nonce}) && slices.Contains(tags, tag{tagOrder, w.Order.String()})
}

// tagsOf converts the tags of an AWS service.
func tagsOf[T any](tags []T, convert func(T) (key, value *string)) []tag {
	out := make([]tag, 0, len(tags))
	for _, t := range tags {
		if key, value := convert(t); key != nil && value != nil {
			out = append(out, tag{*key, *value})
		}
	}
	return out
}

// nonceHash is the part of a resource's name that belongs to the order. It cannot be guessed before the resource exists, and every
// attempt computes the same.
func (w Assignment) nonceHash() string {
	sum := sha256.Sum256([]byte(w.Nonce))
	return hex.EncodeToString(sum[:])[:12]
}

// reportName is the name of the report that the order creates.
func (w Assignment) reportName() string { return namePrefix + w.nonceHash() }

// bucketName is the name of the report's bucket. It contains the account's id because bucket names are unique across all accounts.
func (w Assignment) bucketName() string { return namePrefix + w.Account.ID + "-" + w.nonceHash() }
