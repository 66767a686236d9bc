package awssim

import (
	"net/http"
	"strings"
	"time"
)

// session is a set of temporary credentials that AssumeRole issued.
type session struct {
	secret, token string
	accountID     string
	arn, userID   string
	policy        string // inline session policy; empty: all permissions of the role
	expires       time.Time
}

// maxChainedSeconds bounds a session that was opened with another role's credentials.
const maxChainedSeconds = 3600

// maxSessionPolicy is the longest inline session policy in characters.
const maxSessionPolicy = 2048

var stsOperations = []operation{
	{service: "sts", name: "GetCallerIdentity", do: getCallerIdentity},
	// The role's trust policy decides who may assume the role; assumeRole checks it.
	{service: "sts", name: "AssumeRole", do: assumeRole},
}

func getCallerIdentity(c *call) (any, *apiError) {
	return struct {
		Arn     string
		UserID  string `xml:"UserId"`
		Account string
	}{c.caller.arn, c.caller.userID, c.caller.accountID}, nil
}

func assumeRole(c *call) (any, *apiError) {
	roleARN, name := c.text("RoleArn"), c.text("RoleSessionName")
	if !strings.HasPrefix(roleARN, "arn:") || arnField(roleARN, 5) == "" {
		return nil, refuse(http.StatusBadRequest, "ValidationError", roleARN+" is invalid")
	}
	tags := c.tags("Tags")
	if key := duplicateKey(tags); key != "" {
		return nil, refuse(http.StatusBadRequest, "InvalidParameterValue",
			"Duplicate tag keys found. Please note that Tag keys are case insensitive.")
	}
	// The answer is the same for a missing role, a missing or closed account, and an untrusted caller: it does not reveal what exists.
	refused := c.wire.refusal(c, accessDenied, "User: "+c.caller.arn+" is not authorized to perform: sts:AssumeRole on resource: "+roleARN)
	l, ok := c.sim.accounts[c.accountID]
	if !ok || l.current.State == StateSuspended || l.current.State == StateClosed ||
		roleARN != "arn:aws:iam::"+c.accountID+":role/"+l.current.Role.Name {
		return nil, refused
	}
	if !c.trusted(l.current, tags) {
		return nil, refused
	}
	if !l.current.hasSTS(c.region) {
		return nil, refuse(http.StatusForbidden, "RegionDisabledException",
			"STS is not activated in this region for account:"+c.accountID+". Your account administrator can activate STS in this "+
				"region using the IAM Console.")
	}
	seconds, e := c.sessionSeconds(l.current)
	if e != nil {
		return nil, e
	}
	sessionPolicy, e := c.sessionPolicy()
	if e != nil {
		return nil, e
	}
	roleID := "AROA" + c.accountID + "SIMUL" // the same for every session of the role
	role := l.current.Role.Name[strings.LastIndex(l.current.Role.Name, "/")+1:]
	made := &session{
		secret: c.sim.id("", 40), token: c.sim.id("IQoJ", 120), accountID: c.accountID,
		arn:    "arn:aws:sts::" + c.accountID + ":assumed-role/" + role + "/" + name,
		userID: roleID + ":" + name, policy: sessionPolicy,
		expires: c.sim.now().Truncate(time.Second).Add(time.Duration(seconds) * time.Second),
	}
	key := c.sim.id("ASIA", 16)
	c.sim.addSession(key, made)

	type credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	type assumedUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string
	}
	out := struct {
		Credentials      credentials
		AssumedRoleUser  assumedUser
		PackedPolicySize int    `xml:",omitempty"`
		SourceIdentity   string `xml:",omitempty"`
	}{
		Credentials:     credentials{key, made.secret, made.token, timestamp(made.expires)},
		AssumedRoleUser: assumedUser{made.userID, made.arn}, SourceIdentity: c.text("SourceIdentity"),
	}
	if sessionPolicy != "" {
		out.PackedPolicySize = 1 + len(sessionPolicy)*99/maxSessionPolicy
	}
	return out, nil
}

// addSession stores a session, and deletes those that expired long ago.
func (s *Sim) addSession(key string, made *session) {
	if len(s.sessions)%1024 == 1023 {
		for old, session := range s.sessions {
			if s.now().Sub(session.expires) > 24*time.Hour {
				delete(s.sessions, old)
			}
		}
	}
	s.sessions[key] = made
}

// trusted reports whether the role's trust policy allows the call. Tags and a source identity need permissions of their own, without
// which AWS refuses the whole call.
func (c *call) trusted(account *Account, tags []tag) bool {
	trust := c.sim.mustPolicy(trustDocument(account))
	context := requestTags(tags)
	context["sts:rolesessionname"] = []string{c.text("RoleSessionName")}
	for member, key := range map[string]string{"ExternalId": "sts:externalid", "SourceIdentity": "sts:sourceidentity"} {
		if c.has(member) {
			context[key] = []string{c.text(member)}
		}
	}
	actions := []string{"sts:AssumeRole"}
	if len(tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if c.has("SourceIdentity") {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	for _, action := range actions {
		if trust.evaluate(question{action: action, caller: c.caller.arn, context: context}) != allowed {
			return false
		}
	}
	return true
}

func (c *call) sessionSeconds(account *Account) (int, *apiError) {
	seconds := c.number("DurationSeconds", 3600)
	if c.caller.session != nil && seconds > maxChainedSeconds {
		return 0, refuse(http.StatusBadRequest, "ValidationError",
			"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	if seconds > account.Role.MaxSessionSeconds {
		return 0, refuse(http.StatusBadRequest, "ValidationError",
			"The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return seconds, nil
}

func (c *call) sessionPolicy() (string, *apiError) {
	if arns, _ := c.input["PolicyArns"].([]any); len(arns) > 0 {
		return "", refuse(http.StatusBadRequest, "ValidationError",
			"The simulator does not know what managed policies contain: narrow the session by an inline policy.")
	}
	document := c.text("Policy")
	if document == "" {
		return "", nil
	}
	if len(document) > maxSessionPolicy {
		return "", refuse(http.StatusBadRequest, "PackedPolicyTooLarge", "The session policy is longer than 2048 characters.")
	}
	if _, err := c.sim.identityPolicy(document); err != nil {
		return "", refuse(http.StatusBadRequest, "MalformedPolicyDocument", err.Error())
	}
	return document, nil
}

// duplicateKey returns a tag key that appears twice, ignoring case as IAM and STS do.
func duplicateKey(tags []tag) string {
	seen := map[string]bool{}
	for _, t := range tags {
		if lower := strings.ToLower(t.Key); seen[lower] {
			return t.Key
		} else {
			seen[lower] = true
		}
	}
	return ""
}

// timestamp returns a time in the form of XML and JSON answers.
func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
