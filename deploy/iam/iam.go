// Package iam holds the AWS policies that Quartermaster ships: what the role in a pool account may do, who may assume it,
// what the service's own identity may do, and what the billing services may do with a report's bucket. The JSON files in this
// directory are the originals, with placeholders such as ${ACCOUNT}; the functions fill them in.
package iam

import (
	"bytes"
	_ "embed" // the policies
	"encoding/json"
	"slices"
	"strings"
)

var (
	//go:embed role-policy.json
	rolePolicy string
	//go:embed trust-policy.json
	trustPolicy string
	//go:embed service-policy.json
	servicePolicy string
	//go:embed cur-bucket-policy.json
	reportBucketPolicy string
)

// changePassword is attached to every customer's user, whatever the pool's settings say.
const changePassword = "arn:aws:iam::aws:policy/IAMUserChangePassword"

// Role is the role in a pool account, as far as its permissions depend on the account and its pool.
type Role struct {
	AccountID string
	// UserPolicyARNs are the pool's policies for the customer's user (user_policy_arns). The role can attach these and
	// IAMUserChangePassword, and no other policy.
	UserPolicyARNs []string
	// PermissionsBoundary is the pool's boundary for the customer's user (permissions_boundary_arn). The role can then
	// create users with this boundary only; empty: users with any boundary or none.
	PermissionsBoundary string
}

// RolePolicy returns the permissions policy of the role. Change the role's policy whenever the policies or the boundary in
// the pool's settings change.
func RolePolicy(role Role) string {
	var p document
	decode(fill(rolePolicy, "ACCOUNT", role.AccountID), &p)
	attachable := []string{changePassword}
	for _, arn := range role.UserPolicyARNs {
		if !slices.Contains(attachable, arn) {
			attachable = append(attachable, arn)
		}
	}
	p.replace("${USER_POLICY_ARN}", attachable...)
	if role.PermissionsBoundary == "" {
		p.replace("${PERMISSIONS_BOUNDARY_ARN}")
	} else {
		p.replace("${PERMISSIONS_BOUNDARY_ARN}", role.PermissionsBoundary)
	}
	return p.String()
}

// TrustPolicy returns the trust policy of that role: only principalARN may assume it, and only with the external id,
// which is unique for every account, in the sessions of orders (ord-) and of the reconciler (verify-). It allows no session
// tags and no source identity, which the service does not set; where awscloud.Options.SourceIdentity is switched on, add
// a statement that allows principalARN sts:SetSourceIdentity, or AWS refuses every session.
func TrustPolicy(principalARN, externalID string) string {
	return fill(trustPolicy, "PRINCIPAL", principalARN, "EXTERNAL_ID", externalID)
}

// ServicePolicy returns the policy of the service's own identity: it may assume the role of that name, with its path if it
// has one, in any account, and nothing else. Which accounts let it in is for their trust policies to say.
func ServicePolicy(roleName string) string {
	return fill(servicePolicy, "ROLE_NAME", strings.TrimPrefix(roleName, "/"))
}

// ReportBucketPolicy returns the bucket policy that AWS's billing services check before they accept a cost report, and
// need in order to deliver it.
func ReportBucketPolicy(bucket, accountID string) string {
	return fill(reportBucketPolicy, "BUCKET", bucket, "ACCOUNT", accountID)
}

// fill replaces every ${NAME} by its value, escaped for the inside of a JSON string.
func fill(policy string, namesAndValues ...string) string {
	pairs := make([]string, 0, len(namesAndValues))
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		quoted, _ := json.Marshal(namesAndValues[i+1]) // a string always marshals
		pairs = append(pairs, "${"+namesAndValues[i]+"}", string(quoted[1:len(quoted)-1]))
	}
	return strings.NewReplacer(pairs...).Replace(policy)
}

// document is a policy in the form in which the files write it: every value is a list.
type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid, Effect string
	Action      []string
	Resource    []string
	Condition   map[string]map[string][]string `json:",omitempty"`
}

// decode reads one of the embedded files, so it panics on what only a mistake in the file can cause.
func decode(text string, into *document) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		panic("deploy/iam: " + err.Error())
	}
}

// replace puts values in the place of a placeholder that is an element of a list. A list that is empty then is taken out: a
// condition that holds for nothing goes, and a statement without a resource goes as a whole.
func (d *document) replace(placeholder string, values ...string) {
	expand := func(list []string) []string {
		if at := slices.Index(list, placeholder); at >= 0 {
			return slices.Concat(list[:at], values, list[at+1:])
		}
		return list
	}
	for i := range d.Statement {
		st := &d.Statement[i]
		st.Resource = expand(st.Resource)
		for operator, keys := range st.Condition {
			for key, wanted := range keys {
				if keys[key] = expand(wanted); len(keys[key]) == 0 {
					delete(keys, key)
				}
			}
			if len(keys) == 0 {
				delete(st.Condition, operator)
			}
		}
	}
	d.Statement = slices.DeleteFunc(d.Statement, func(st statement) bool { return len(st.Resource) == 0 })
}

// String is the policy as JSON.
func (d *document) String() string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(d) // strings and lists always encode
	return strings.TrimSuffix(out.String(), "\n")
}
