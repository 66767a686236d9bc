package awssim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// States of an account as account:GetAccountInformation names them. A role can be assumed in an account that is pending
// activation, but the billing services and S3 refuse it. No role can be assumed in a suspended or closed account.
const (
	StatePendingActivation = "PENDING_ACTIVATION"
	StateActive            = "ACTIVE"
	StateSuspended         = "SUSPENDED"
	StateClosed            = "CLOSED"
)

var accountStates = []string{StatePendingActivation, StateActive, StateSuspended, StateClosed}

// Account is the complete state of one AWS account. A seed file describes it, Snapshot prints it, and Edit changes it. All times are
// in UTC.
type Account struct {
	ID                string                      `json:"id"` // 12 digits
	Name              string                      `json:"name,omitempty"`
	Email             string                      `json:"email"`           // the root user's
	State             string                      `json:"state,omitempty"` // ACTIVE when empty
	Created           time.Time                   `json:"created,omitzero"`
	Role              Role                        `json:"role"`
	Alias             string                      `json:"alias,omitempty"`
	Contact           *Contact                    `json:"contact,omitempty"`
	AlternateContacts map[string]AlternateContact `json:"alternate_contacts,omitempty"`  // by BILLING, OPERATIONS, SECURITY
	PasswordPolicy    *PasswordPolicy             `json:"password_policy,omitempty"`     // nil: AWS's default policy
	Users             map[string]User             `json:"users,omitempty"`               // by name
	VirtualMFADevices map[string]string           `json:"virtual_mfa_devices,omitempty"` // serial number → user it is active for
	// ManagedPolicies are the ARNs of customer managed policies without a document; PolicyDocuments are those with one.
	ManagedPolicies []string          `json:"managed_policies,omitempty"`
	PolicyDocuments map[string]string `json:"policy_documents,omitempty"` // by ARN
	// OrganizationPolicy is the service control policy of the account's organization; empty when there is none.
	OrganizationPolicy json.RawMessage   `json:"organization_policy,omitempty"`
	Reports            map[string]Report `json:"reports,omitempty"`              // legacy CUR, by name
	Exports            map[string]Export `json:"exports,omitempty"`              // Data Exports, by name
	Buckets            map[string]Bucket `json:"buckets,omitempty"`              // by name
	EnabledRegions     []string          `json:"enabled_regions,omitempty"`      // opt-in regions that the account uses; nil: all
	DisabledSTSRegions []string          `json:"disabled_sts_regions,omitempty"` // regions in which the account has deactivated STS
	Quirks             Quirks            `json:"quirks,omitzero"`
}

// Role is the role in the account that Quartermaster assumes.
type Role struct {
	Name                string          `json:"name"`
	ExternalID          string          `json:"external_id,omitempty"`          // empty when the trust policy demands none
	TrustedPrincipal    string          `json:"trusted_principal,omitempty"`    // ARN that may assume the role
	TrustPolicy         json.RawMessage `json:"trust_policy,omitempty"`         // empty: made from the two fields above
	Policy              json.RawMessage `json:"policy,omitempty"`               // permissions; empty: the shipped role policy
	PermissionsBoundary string          `json:"permissions_boundary,omitempty"` // ARN of a managed policy
	MaxSessionSeconds   int             `json:"max_session_seconds,omitempty"`  // 3600 when 0
}

// Contact is the primary contact of an account.
type Contact struct {
	FullName         string `json:"FullName"`
	AddressLine1     string `json:"AddressLine1"`
	AddressLine2     string `json:"AddressLine2,omitempty"`
	AddressLine3     string `json:"AddressLine3,omitempty"`
	City             string `json:"City"`
	StateOrRegion    string `json:"StateOrRegion,omitempty"`
	DistrictOrCounty string `json:"DistrictOrCounty,omitempty"`
	PostalCode       string `json:"PostalCode"`
	CountryCode      string `json:"CountryCode"` // ISO 3166-1 alpha-2
	PhoneNumber      string `json:"PhoneNumber"`
	CompanyName      string `json:"CompanyName,omitempty"`
	WebsiteURL       string `json:"WebsiteUrl,omitempty"`
}

// AlternateContact is one of the three alternate contacts of an account.
type AlternateContact struct {
	Name         string `json:"Name"`
	Title        string `json:"Title"`
	EmailAddress string `json:"EmailAddress"`
	PhoneNumber  string `json:"PhoneNumber"`
}

// PasswordPolicy is an account's own password policy. Without one, AWS's default policy applies.
type PasswordPolicy struct {
	MinimumPasswordLength      int  `json:"minimum_password_length"` // 6..128
	RequireSymbols             bool `json:"require_symbols,omitempty"`
	RequireNumbers             bool `json:"require_numbers,omitempty"`
	RequireUppercaseCharacters bool `json:"require_uppercase_characters,omitempty"`
	RequireLowercaseCharacters bool `json:"require_lowercase_characters,omitempty"`
	AllowUsersToChangePassword bool `json:"allow_users_to_change_password,omitempty"`
	MaxPasswordAge             int  `json:"max_password_age,omitempty"` // days; 0: passwords do not expire
	PasswordReusePrevention    int  `json:"password_reuse_prevention,omitempty"`
	HardExpiry                 bool `json:"hard_expiry,omitempty"`
}

// User is an IAM user. Its name is the key in Account.Users.
type User struct {
	ID                  string            `json:"id,omitempty"`   // AIDA…; Load assigns one when empty
	Path                string            `json:"path,omitempty"` // "/" when empty
	Created             time.Time         `json:"created,omitzero"`
	Tags                map[string]string `json:"tags,omitempty"`
	PermissionsBoundary string            `json:"permissions_boundary,omitempty"`
	LoginProfile        *LoginProfile     `json:"login_profile,omitempty"`
	PasswordLastUsed    time.Time         `json:"password_last_used,omitzero"`
	AttachedPolicies    []string          `json:"attached_policies,omitempty"` // ARNs
	InlinePolicies      map[string]string `json:"inline_policies,omitempty"`   // name → document
	AccessKeys          []string          `json:"access_keys,omitempty"`       // ids
	Groups              []string          `json:"groups,omitempty"`
	MFADevices          []string          `json:"mfa_devices,omitempty"` // serial numbers
	SigningCertificates []string          `json:"signing_certificates,omitempty"`
	SSHPublicKeys       []string          `json:"ssh_public_keys,omitempty"`
	ServiceCredentials  []string          `json:"service_credentials,omitempty"`
}

// LoginProfile is a user's console password. The simulator keeps only its SHA-256, see HashPassword.
type LoginProfile struct {
	PasswordSHA256 string    `json:"password_sha256"`
	ResetRequired  bool      `json:"reset_required"`
	Created        time.Time `json:"created,omitzero"`
}

// HashPassword returns the LoginProfile.PasswordSHA256 of a password, for tests that compare.
func HashPassword(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// Report is a legacy Cost and Usage Report definition. Its name is the key in Account.Reports.
type Report struct {
	TimeUnit                 string            `json:"TimeUnit"`
	Format                   string            `json:"Format"`
	Compression              string            `json:"Compression"`
	AdditionalSchemaElements []string          `json:"AdditionalSchemaElements"`
	S3Bucket                 string            `json:"S3Bucket"`
	S3Prefix                 string            `json:"S3Prefix"`
	S3Region                 string            `json:"S3Region"`
	AdditionalArtifacts      []string          `json:"AdditionalArtifacts,omitempty"`
	RefreshClosedReports     bool              `json:"RefreshClosedReports,omitempty"`
	ReportVersioning         string            `json:"ReportVersioning,omitempty"`
	BillingViewArn           string            `json:"BillingViewArn,omitempty"`
	ReportStatus             *ReportStatus     `json:"ReportStatus,omitempty"` // nil before the first delivery
	Tags                     map[string]string `json:"Tags,omitempty"`
}

// ReportStatus is the status of the last delivery of a legacy report.
type ReportStatus struct {
	LastDelivery string `json:"lastDelivery,omitempty"` // 20060102T150405Z
	LastStatus   string `json:"lastStatus,omitempty"`   // SUCCESS, ERROR_PERMISSIONS, ERROR_NO_BUCKET
}

// Export is a Data Export. Its name is the key in Account.Exports.
type Export struct {
	ARN                 string                       `json:"arn,omitempty"` // Load assigns one when empty
	Description         string                       `json:"description,omitempty"`
	QueryStatement      string                       `json:"query_statement"`
	TableConfigurations map[string]map[string]string `json:"table_configurations,omitempty"`
	S3Bucket            string                       `json:"s3_bucket"`
	S3BucketOwner       string                       `json:"s3_bucket_owner,omitempty"`
	S3Prefix            string                       `json:"s3_prefix"`
	S3Region            string                       `json:"s3_region"`
	OutputType          string                       `json:"output_type"`
	Format              string                       `json:"format"`
	Compression         string                       `json:"compression"`
	Overwrite           string                       `json:"overwrite"`
	Created             time.Time                    `json:"created,omitzero"`
	LastRefreshed       time.Time                    `json:"last_refreshed,omitzero"` // the last delivery
	StatusCode          string                       `json:"status_code,omitempty"`   // HEALTHY, UNHEALTHY; empty before the first refresh
	StatusReason        string                       `json:"status_reason,omitempty"`
	Tags                map[string]string            `json:"tags,omitempty"`
}

// Bucket is an S3 bucket. Its name is the key in Account.Buckets.
type Bucket struct {
	Region            string             `json:"region,omitempty"` // us-east-1 when empty
	Created           time.Time          `json:"created,omitzero"`
	Tags              map[string]string  `json:"tags,omitempty"`
	Policy            string             `json:"policy,omitempty"`
	PublicAccessBlock *PublicAccessBlock `json:"public_access_block,omitempty"`
	Objects           map[string]int     `json:"objects,omitempty"` // key → size in bytes
	// ObjectOwnership decides who owns the objects in the bucket, such as BucketOwnerEnforced.
	ObjectOwnership string `json:"object_ownership,omitempty"`
	// Versioning is empty, VersioningEnabled or VersioningSuspended. A bucket with versioning keeps Versions by key, the
	// newest first, and Objects is derived from them. A key that only Objects has gets a version "null".
	Versioning string                     `json:"versioning,omitempty"`
	Versions   map[string][]ObjectVersion `json:"versions,omitempty"`
}

// ObjectVersion is a version of an object, or a delete marker, in a bucket with versioning.
type ObjectVersion struct {
	ID           string `json:"id"` // "null" when it was written without versioning
	Size         int    `json:"size,omitempty"`
	DeleteMarker bool   `json:"delete_marker,omitempty"`
}

// PublicAccessBlock is the public access block of a bucket.
type PublicAccessBlock struct {
	BlockPublicAcls       bool `json:"block_public_acls"`
	IgnorePublicAcls      bool `json:"ignore_public_acls"`
	BlockPublicPolicy     bool `json:"block_public_policy"`
	RestrictPublicBuckets bool `json:"restrict_public_buckets"`
}

// clone returns a deep copy with nil instead of empty maps and slices, so that equal accounts print equal bytes.
func (a *Account) clone() *Account {
	c := *a
	c.Role.Policy = cloneSlice(a.Role.Policy)
	c.Role.TrustPolicy = cloneSlice(a.Role.TrustPolicy)
	c.Contact = clonePointer(a.Contact)
	c.AlternateContacts = cloneMap(a.AlternateContacts, same)
	c.PasswordPolicy = clonePointer(a.PasswordPolicy)
	c.Users = cloneMap(a.Users, User.clone)
	c.VirtualMFADevices = cloneMap(a.VirtualMFADevices, same)
	c.ManagedPolicies = sorted(a.ManagedPolicies)
	c.PolicyDocuments = cloneMap(a.PolicyDocuments, same)
	c.OrganizationPolicy = cloneSlice(a.OrganizationPolicy)
	c.Reports = cloneMap(a.Reports, Report.clone)
	c.Exports = cloneMap(a.Exports, Export.clone)
	c.Buckets = cloneMap(a.Buckets, Bucket.clone)
	c.EnabledRegions, c.DisabledSTSRegions = sorted(a.EnabledRegions), sorted(a.DisabledSTSRegions)
	return &c
}

func (u User) clone() User {
	u.Tags = cloneMap(u.Tags, same)
	u.LoginProfile = clonePointer(u.LoginProfile)
	u.InlinePolicies = cloneMap(u.InlinePolicies, same)
	for _, list := range []*[]string{
		&u.AttachedPolicies, &u.AccessKeys, &u.Groups, &u.MFADevices,
		&u.SigningCertificates, &u.SSHPublicKeys, &u.ServiceCredentials,
	} {
		*list = sorted(*list)
	}
	return u
}

func (r Report) clone() Report {
	r.AdditionalSchemaElements = cloneSlice(r.AdditionalSchemaElements)
	r.AdditionalArtifacts = cloneSlice(r.AdditionalArtifacts)
	r.ReportStatus = clonePointer(r.ReportStatus)
	r.Tags = cloneMap(r.Tags, same)
	return r
}

func (e Export) clone() Export {
	e.TableConfigurations = cloneMap(e.TableConfigurations, func(m map[string]string) map[string]string { return cloneMap(m, same) })
	e.Tags = cloneMap(e.Tags, same)
	return e
}

func (b Bucket) clone() Bucket {
	b.Tags = cloneMap(b.Tags, same)
	b.PublicAccessBlock = clonePointer(b.PublicAccessBlock)
	b.Objects = cloneMap(b.Objects, same)
	b.Versions = cloneMap(b.Versions, cloneSlice)
	return b
}

func same[T any](v T) T { return v }

func cloneMap[V any](m map[string]V, value func(V) V) map[string]V {
	if len(m) == 0 {
		return nil
	}
	c := make(map[string]V, len(m))
	for k, v := range m {
		c[k] = value(v)
	}
	return c
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func cloneSlice[S ~[]E, E any](s S) S {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}

// sorted returns a sorted copy of a list whose order has no meaning in AWS, so that snapshots do not depend on the order of calls.
func sorted(list []string) []string {
	c := cloneSlice(list)
	slices.Sort(c)
	return c
}

// user finds a user as IAM does: it ignores the case of names, unless the account has the quirk ExactCase. It returns the name as
// stored.
func (a *Account) user(name string) (string, User, bool) {
	if u, ok := a.Users[name]; ok || a.Quirks.ExactCase {
		return name, u, ok
	}
	return a.userInAnyCase(name)
}

func (a *Account) userInAnyCase(name string) (string, User, bool) {
	for stored, u := range a.Users {
		if strings.EqualFold(stored, name) {
			return stored, u, true
		}
	}
	return "", User{}, false
}

// export finds a Data Export by its ARN.
func (a *Account) export(arn string) (string, Export, bool) {
	for name, e := range a.Exports {
		if e.ARN == arn {
			return name, e, true
		}
	}
	return "", Export{}, false
}

// put sets a key of a map that may still be nil.
func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// PasswordIs reports whether this is the user's password.
func (a Account) PasswordIs(userName, password string) bool {
	profile := a.Users[userName].LoginProfile
	return profile != nil && profile.PasswordSHA256 == HashPassword(password)
}
