package awssim

import (
	"net/http"
	"strings"
	"time"
)

// realActions are actions of AWS that the simulator authorizes but does not implement, so that a test gets AccessDenied where AWS
// would return it. They are the ways to escalate privileges that the shipped role policy denies.
var realActions = map[string]bool{
	"iam.CreateRole": true, "iam.AttachRolePolicy": true, "iam.PutRolePolicy": true, "iam.UpdateAssumeRolePolicy": true,
	"iam.CreatePolicy": true, "iam.UpdateUser": true, "iam.UntagUser": true, "iam.AddUserToGroup": true, "iam.CreateGroup": true,
	"account.StartPrimaryEmailUpdate": true, "account.EnableRegion": true, "account.DisableRegion": true,
	"bcm-data-exports.UpdateExport": true, "bcm-data-exports.ListTables": true, "cur.UntagResource": true,
}

// refuseUnknown returns the answer to an operation that the simulator does not implement.
func (c *call) refuseUnknown() *apiError {
	if realActions[c.service+"."+c.name] {
		q := question{action: c.service + ":" + c.name, resource: "*"}
		if refused := c.allow(q); refused != nil {
			return refused
		}
	}
	return c.wire.unknown(c)
}

// authorize checks the caller's policies for every permission that the operation needs.
func (c *call) authorize() *apiError {
	if c.op.needs == nil {
		return nil
	}
	if c.caller.session == nil {
		if c.service == "sts" {
			return nil // the role's trust policy decides
		}
		return c.deny(question{action: c.service + ":" + c.name, resource: "*"}, silent, identityBased)
	}
	for _, q := range c.op.needs(c) {
		if refused := c.allow(q); refused != nil {
			return refused
		}
	}
	return nil
}

// identityBased is AWS's name for the policies of the caller.
const identityBased = "identity-based policy"

// layer is the policies of one type. A request needs an Allow in every existing layer, and no Deny in any.
type layer struct {
	policyType string // as AWS names it
	documents  []string
}

// decide evaluates the layers. It returns the type of the policy that denies the request or does not allow it. A Deny takes precedence.
func (s *Sim) decide(q question, layers []layer) (decision, string) {
	silentType := ""
	for _, l := range layers {
		answer := silent
		for _, document := range l.documents {
			p, err := s.policy(document)
			if err != nil {
				continue // an inline policy that breaks the current rules allows nothing
			}
			switch p.evaluate(q) {
			case denied:
				return denied, l.policyType
			case allowed:
				answer = allowed
			}
		}
		if answer == silent && silentType == "" {
			silentType = l.policyType
		}
	}
	if silentType != "" {
		return silent, silentType
	}
	return allowed, ""
}

// layers returns the layers of an identity of the account in the order in which AWS evaluates them: the organization, the identity's
// own policies, and its boundary.
func (a *Account) layers(own []string, boundary string) (all []layer) {
	if len(a.OrganizationPolicy) > 0 {
		all = append(all, layer{"service control policy", []string{string(a.OrganizationPolicy)}})
	}
	all = append(all, layer{identityBased, own})
	if boundary != "" {
		all = append(all, layer{"permissions boundary", a.documents(boundary)})
	}
	return all
}

// allow evaluates the policies of the role, its boundary, the organization's policy and, if there is one, the session's policy.
func (c *call) allow(q question) *apiError {
	session := c.caller.session
	if session == nil {
		return c.deny(q, silent, identityBased)
	}
	q.caller = c.caller.arn
	account := c.sim.accounts[session.accountID].current
	layers := account.layers([]string{c.sim.roleDocument(account)}, account.Role.PermissionsBoundary)
	if session.policy != "" {
		layers = append(layers, layer{"session policy", []string{session.policy}})
	}
	answer, policyType := c.sim.decide(q, layers)
	c.sim.need(session.accountID, Permission{q.action, q.resource, answer == allowed})
	if answer != allowed {
		return c.deny(q, answer, policyType)
	}
	return nil
}

// deny returns AccessDenied with the message that AWS has used since 2021.
func (c *call) deny(q question, answer decision, policyType string) *apiError {
	because := "because no " + policyType + " allows the " + q.action + " action"
	if answer == denied {
		article := "a "
		if policyType == identityBased {
			article = "an "
		}
		because = "with an explicit deny in " + article + policyType
	}
	return c.wire.refusal(c, accessDenied, "User: "+c.caller.arn+" is not authorized to perform: "+q.action+" on resource: "+
		""+q.resource+" "+because)
}

// on returns a needs function for an action on one resource.
func on(resource func(c *call) string) func(*call) []question {
	return func(c *call) []question {
		return []question{{action: c.service + ":" + c.name, resource: resource(c)}}
	}
}

func anyResource(*call) string { return "*" }

// onUser returns the ARN of the user that the call names. AWS knows a user's path only while the user exists. For a name that does not
// exist, it checks the ARN without a path, so a policy for one path causes AccessDenied instead of NoSuchEntity.
func onUser(c *call) string {
	name := c.text("UserName")
	if stored, u, ok := c.account().user(name); ok {
		return userARN(c.accountID, u.Path, stored)
	}
	return userARN(c.accountID, "/", name)
}

func userARN(accountID, path, name string) string {
	return "arn:aws:iam::" + accountID + ":user" + path + name
}

// requestTags are the condition keys that carry the tags of a request.
func requestTags(tags []tag) map[string][]string {
	context := map[string][]string{}
	for _, t := range tags {
		context["aws:requesttag/"+strings.ToLower(t.Key)] = []string{t.Value}
		context["aws:tagkeys"] = append(context["aws:tagkeys"], t.Key)
	}
	return context
}

// signedUp refuses calls of the billing services and of S3 while the account's activation is pending. S3 has a code of its own.
func (c *call) signedUp() *apiError {
	if c.service != "cur" && c.service != "bcm-data-exports" && c.service != "s3" || c.account().State != StatePendingActivation {
		return nil
	}
	if c.service == "s3" {
		return refuse(http.StatusForbidden, "NotSignedUp", "Your account is not signed up for the Amazon S3 service. You must sign "+
			"up before you can use Amazon S3.")
	}
	return refuse(http.StatusBadRequest, "SubscriptionRequiredException", "The AWS Access Key Id needs a subscription for the service")
}

// tokenBucket is one rate limit of the account API.
type tokenBucket struct {
	tokens float64
	filled time.Time
}

// accountRates are the limits of the account API for each account: calls per second, and burst. Where the pages of AWS's documentation
// differ, these are the stricter limits.
var accountRates = map[string]struct{ rate, burst float64 }{
	"GetContactInformation":  {3, 5},
	"PutContactInformation":  {1, 2},
	"GetAlternateContact":    {3, 5},
	"PutAlternateContact":    {1, 6},
	"DeleteAlternateContact": {1, 6},
	"GetAccountInformation":  {3, 3},
}

// limit takes a token from the account's bucket for the operation.
func (c *call) limit() *apiError {
	limit, limited := accountRates[c.name]
	if !c.sim.opts.RateLimits || c.service != "account" || !limited {
		return nil
	}
	now, key := c.sim.now(), c.accountID+"."+c.name
	bucket := c.sim.limits[key]
	if bucket == nil {
		bucket = &tokenBucket{tokens: limit.burst, filled: now}
		c.sim.limits[key] = bucket
	}
	bucket.tokens = min(limit.burst, bucket.tokens+now.Sub(bucket.filled).Seconds()*limit.rate)
	bucket.filled = now
	if bucket.tokens < 1 {
		return refuse(http.StatusTooManyRequests, "TooManyRequestsException", "Rate exceeded")
	}
	bucket.tokens--
	return nil
}
