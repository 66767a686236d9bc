package awssim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// signature is the parsed Authorization header of a SigV4 request.
type signature struct {
	keyID, date, region, service string
	signedHeaders                []string
	value                        string
}

const (
	amzDateLayout = "20060102T150405Z"
	// allowedSkew is how much a signature's date may differ from the server's clock.
	allowedSkew = 15 * time.Minute
)

// readSignature finds the service, and so the protocol, in the credential scope.
func (c *call) readSignature() (signature, *apiError) {
	c.wire = queryProtocol{} // encodes refusals until the service is known
	header := c.http.Header.Get("Authorization")
	fields, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return signature{}, refuse(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	parts := map[string]string{}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		parts[name] = value
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" || parts["SignedHeaders"] == "" || parts["Signature"] == "" {
		return signature{}, refuse(http.StatusForbidden, "IncompleteSignature",
			"Authorization header is not a complete AWS4-HMAC-SHA256 signature.")
	}
	sig := signature{
		keyID: scope[0], date: scope[1], region: scope[2], service: scope[3],
		signedHeaders: strings.Split(parts["SignedHeaders"], ";"), value: parts["Signature"],
	}
	c.service, c.region = sig.service, sig.region
	switch sig.service {
	case "sts":
		c.wire = queryProtocol{namespace: "https://sts.amazonaws.com/doc/2011-06-15/", version: "2011-06-15"}
	case "iam":
		c.wire = queryProtocol{namespace: "https://iam.amazonaws.com/doc/2010-05-08/", version: "2010-05-08"}
	case "account":
		c.wire = restProtocol{}
	case "cur":
		c.wire = jsonProtocol{target: "AWSOrigamiServiceGatewayService"}
	case "bcm-data-exports":
		c.wire = jsonProtocol{target: "AWSBillingAndCostManagementDataExports"}
	case "s3":
		c.wire = s3Protocol{}
	default:
		return signature{}, refuse(http.StatusForbidden, "SignatureDoesNotMatch",
			"Credential should be scoped to correct service: the simulator knows "+strings.Join(services, ", ")+", not '"+sig.service+"'.")
	}
	return sig, nil
}

// authenticate verifies the signature with the key's secret and sets the caller.
func (c *call) authenticate(sig signature) *apiError {
	secret, refused := c.identify(sig)
	if refused != nil {
		return refused
	}
	signedAt, err := time.Parse(amzDateLayout, c.http.Header.Get("X-Amz-Date"))
	if err != nil || signedAt.Format("20060102") != sig.date {
		return c.wire.refusal(c, incompleteSignature, "X-Amz-Date must be present and fall on the date of the credential scope")
	}
	// The skew is measured by the machine's clock, which the SDK signs with. Options.Now may be years away.
	if skew := time.Since(signedAt).Abs(); skew > allowedSkew {
		return c.wire.refusal(c, skewedClock, "Signature expired: "+signedAt.Format(amzDateLayout)+" is too far from the server's time")
	}
	signed := func(header string) bool { return slices.Contains(sig.signedHeaders, header) }
	if !signed("host") || c.caller.session != nil && !signed("x-amz-security-token") {
		return c.wire.refusal(c, badSignature, "the headers host and, with temporary credentials, x-amz-security-token must be signed")
	}
	payloadHash, refused := c.payloadHash()
	if refused != nil {
		return refused
	}
	if !hmac.Equal([]byte(c.sign(sig, secret, payloadHash)), []byte(sig.value)) {
		return c.wire.refusal(c, badSignature, "The request signature we calculated does not match the signature you provided. Check "+
			"your AWS Secret Access Key and signing method.")
	}
	// Services with one global endpoint accept only its region. Otherwise a client for another region would work with the
	// simulator and fail with AWS.
	if sig.region != homeRegion && slices.Contains([]string{"iam", "account", "cur", "bcm-data-exports"}, sig.service) {
		return c.wire.refusal(c, wrongScope, "Credential should be scoped to a valid region, not '"+sig.region+"'.")
	}
	return nil
}

// identify finds the caller by access key and token, and returns the key's secret.
func (c *call) identify(sig signature) (string, *apiError) {
	token := c.http.Header.Get("X-Amz-Security-Token")
	if caller, ok := c.sim.callers[sig.keyID]; ok && token == "" {
		c.caller = identity{arn: caller.ARN, userID: sig.keyID, accountID: arnField(caller.ARN, 4)}
		return caller.SecretAccessKey, nil
	}
	session, ok := c.sim.sessions[sig.keyID]
	if !ok || token != session.token {
		return "", c.wire.refusal(c, unknownKey, "The security token included in the request is invalid.")
	}
	c.caller = identity{arn: session.arn, userID: session.userID, accountID: session.accountID, session: session}
	if !c.sim.now().Before(session.expires) {
		return "", c.wire.refusal(c, expiredToken, "The security token included in the request is expired")
	}
	return session.secret, nil
}

// payloadHash returns the hash that the signature covers. If the client sends it, it must match the body.
func (c *call) payloadHash() (string, *apiError) {
	sum := sha256.Sum256(c.body)
	actual := hex.EncodeToString(sum[:])
	stated := c.http.Header.Get("X-Amz-Content-Sha256")
	switch stated {
	case "":
		return actual, nil
	case "UNSIGNED-PAYLOAD", actual:
		return stated, nil
	}
	return "", refuse(http.StatusBadRequest, "XAmzContentSHA256Mismatch",
		"The provided 'x-amz-content-sha256' header does not match what was computed.")
}

// sign computes the signature that the request must carry.
func (c *call) sign(sig signature, secret, payloadHash string) string {
	r := c.http
	path := r.URL.EscapedPath()
	if sig.service != "s3" {
		path = escapePath(path) // all services except S3 escape the path twice
	}
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + path + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range sig.signedHeaders {
		canonical.WriteString(name + ":" + c.signedHeader(name) + "\n")
	}
	canonical.WriteString("\n" + strings.Join(sig.signedHeaders, ";") + "\n" + payloadHash)

	hashed := sha256.Sum256([]byte(canonical.String()))
	scope := strings.Join([]string{sig.date, sig.region, sig.service, "aws4_request"}, "/")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), scope, hex.EncodeToString(hashed[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{sig.date, sig.region, sig.service, "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func (c *call) signedHeader(name string) string {
	switch name {
	case "host":
		return c.http.Host
	case "content-length":
		if values := c.http.Header.Values("Content-Length"); len(values) == 0 {
			return itoa(len(c.body)) // net/http removes the header from the map
		}
	}
	values := c.http.Header.Values(name)
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(trimmed, ",")
}

func canonicalQuery(query url.Values) string {
	for _, values := range query {
		slices.Sort(values)
	}
	return strings.ReplaceAll(query.Encode(), "+", "%20")
}

// escapePath escapes everything except unreserved characters and slashes.
func escapePath(path string) string {
	const hexDigits = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(path) {
		b := path[i]
		if b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || strings.IndexByte("-._~/", b) >= 0 {
			out.WriteByte(b)
			continue
		}
		out.Write([]byte{'%', hexDigits[b>>4], hexDigits[b&15]})
	}
	return out.String()
}
