"""Chat templates of LLM families: one way to turn a chat into text, for the teacher, the student and inference."""

from jinja2 import TemplateError

from blsp_core.errors import StudyError


def render(tokenizer, chat: list[dict], **template) -> str:
    """A chat, whose contents are strings, as text; `template`: as in `apply_chat_template`.

    Reasoning is switched off (Qwen3). Where the chat template rejects or ignores the system prompt (Gemma), it stands
    before the user's first turn. Raises StudyError without a template, or where it rejects both.
    """
    if not (template.get("chat_template") or tokenizer.chat_template):
        raise StudyError(f"{tokenizer.name_or_path}: the tokenizer has no chat template; use a chat LLM")
    forms = [chat]
    if len(chat) > 1 and chat[0]["role"] == "system":
        system, user, *others = chat
        forms.append([{**user, "content": f"{system['content']}\n\n{user['content']}"}, *others])
    for form in forms:
        try:
            text = tokenizer.apply_chat_template(form, **{"enable_thinking": False, **template, "tokenize": False})
        except TemplateError as error:
            reason = error
        else:
            if form is forms[-1] or chat[0]["content"].strip() in text:
                return text
    raise StudyError(f"{tokenizer.name_or_path}: the chat template fails ({reason}); use another LLM")
