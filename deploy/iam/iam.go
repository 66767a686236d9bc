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

// changePassword is the policy that every customer's user gets in addition to those of the pool's settings.
const changePassword = "arn:aws:iam::aws:policy/IAMUserChangePassword"

// Role describes the role in a pool account: the parts of the account and its pool that its permissions depend on.
type Role struct {
	AccountID string
	// UserPolicyARNs are the pool's policies for the customer's user (user_policy_arns). The role can attach these policies and
	// IAMUserChangePassword, and no others.
	UserPolicyARNs []string
	// PermissionsBoundary is the pool's boundary for the customer's user (permissions_boundary_arn). If it is set, the role can
	// create users only with this boundary; else with any boundary or none.
	PermissionsBoundary string
}

// RolePolicy returns the permissions policy of the role. It must be updated whenever the policies or the boundary in the pool's
// settings change.
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

// TrustPolicy returns the trust policy of the role. Only principalARN may assume the role, only with the external id, which is
// unique for each account, and only in sessions whose names begin with ord- (orders) or verify- (verifications and the reconciler). It
// allows no session tags and no source identity, because the service sets none. If awscloud.Options.SourceIdentity is set, add a
// statement that allows sts:SetSourceIdentity for principalARN; otherwise AWS refuses every session.
func TrustPolicy(principalARN, externalID string) string {
	return fill(trustPolicy, "PRINCIPAL", principalARN, "EXTERNAL_ID", externalID)
}

// ServicePolicy returns the policy of the service's own identity. It may assume the role of that name (with its path, if it has one) in
// any account, and nothing else. The trust policies of the accounts' roles decide where that succeeds.
func ServicePolicy(roleName string) string {
	return fill(servicePolicy, "ROLE_NAME", strings.TrimPrefix(roleName, "/"))
}

// ReportBucketPolicy returns the policy of a report's bucket. AWS's billing services need it to deliver a cost report, and check it before
// they accept one.
func ReportBucketPolicy(bucket, accountID string) string {
	return fill(reportBucketPolicy, "BUCKET", bucket, "ACCOUNT", accountID)
}

// fill replaces each ${NAME} by its value, escaped for a JSON string.
func fill(policy string, namesAndValues ...string) string {
	pairs := make([]string, 0, len(namesAndValues))
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		quoted, _ := json.Marshal(namesAndValues[i+1]) // a string always marshals
		pairs = append(pairs, "${"+namesAndValues[i]+"}", string(quoted[1:len(quoted)-1]))
	}
	return strings.NewReplacer(pairs...).Replace(policy)
}

// document is a policy in the form of the files, in which every value is a list.
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

// decode parses one of the embedded files. It panics on an error, which only a mistake in the file can cause.
func decode(text string, into *document) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		panic("deploy/iam: " + err.Error())
	}
}

// replace replaces a placeholder, which is an element of a list, by values. If the list is empty afterwards, replace removes it: from a
// condition the key, and with an empty list of resources the whole statement.
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

// String returns the policy as JSON.
func (d *document) String() string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(d) // strings and lists always encode
	return strings.TrimSuffix(out.String(), "\n")
}
