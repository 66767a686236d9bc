package provision

import "strings"

// JoinWords joins words into a list that people read: "a", "a or b", "a, b or c"; "none" when there are no words.
func JoinWords[T ~string](words []T, conjunction string) string {
	switch len(words) {
	case 0:
		return "none"
	case 1:
		return string(words[0])
	}
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	last := len(texts) - 1
	return strings.Join(texts[:last], ", ") + " " + conjunction + " " + texts[last]
}

// SetIfGiven assigns what value points to; a nil value leaves the field as it is.
func SetIfGiven[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}
