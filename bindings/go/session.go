package emotionllama

import (
	"context"
	"iter"
	"runtime"
)

// Session is a conversation about one clip. It answers one question at a time; a second one meanwhile fails with Overloaded.
type Session struct {
	library *library
	session *handle[nativeSession]
}

// Ask asks a question about the clip, after those before: a follow-up such as "Why?" is understood. question has nothing that concerns the
// clip. A question that fails leaves the conversation as it was.
func (s *Session) Ask(ctx context.Context, question Request) (*Analysis, error) {
	token, err := s.library.newToken(ctx)
	if err != nil {
		return nil, err
	}
	defer token.end()
	text, err := asked(ctx, s, &question, token, s.library.SessionAsk)
	if err != nil {
		return nil, err
	}
	return parse[Analysis](s.library.taken(text))
}

// AskStream is as [Session.Ask], with the events of [Client.Stream].
func (s *Session) AskStream(ctx context.Context, question Request) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s.library.events(ctx, yield, func(token *token) (*nativeStream, error) {
			return asked(ctx, s, &question, token, s.library.SessionAskStream)
		})
	}
}

// Reset forgets the questions and answers and keeps the clip. It fails with Overloaded while a question is answered.
func (s *Session) Reset() error {
	session, err := s.session.acquire()
	runtime.KeepAlive(s)
	if err != nil {
		return err
	}
	defer s.session.release()
	return s.library.failure(context.Background(), s.library.SessionReset(session))
}

// Close frees the conversation once no call uses it. It may be called again, and always gives nil.
func (s *Session) Close() error {
	s.session.close()
	runtime.KeepAlive(s)
	return nil
}

// asked calls a function that is given a session, a question and a token.
func asked[T any](ctx context.Context, s *Session, question *Request, token *token,
	call func(*nativeSession, string, *nativeCancel, **T) *nativeStatus,
) (*T, error) {
	session, err := s.session.acquire()
	runtime.KeepAlive(s)
	if err != nil {
		return nil, err
	}
	defer s.session.release()
	if question.Video != nil || question.Data != nil || question.Live != nil || question.Last != 0 {
		return nil, newError(InvalidArgument, "a question has no clip; give it when the conversation begins")
	}
	wire, err := encode(question)
	if err != nil {
		return nil, err
	}
	var out *T
	if err := s.library.failure(ctx, call(session, wire, token.native, &out)); err != nil {
		return nil, err
	}
	return out, nil
}
