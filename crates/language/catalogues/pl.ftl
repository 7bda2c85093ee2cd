offer-valid-until = Oferta ważna do { $date }.
email-reason = { $brand } wysyła tę wiadomość, ponieważ są Państwo klientami i wyrazili zgodę na otrzymywanie ofert.
email-security = { $brand } nigdy nie prosi w e-mailu o PIN ani hasło.
email-unsubscribe = Rezygnuję z ofert wysyłanych e-mailem

sms-opt-out = Rezygnacja: odpisz STOP

page-subscribed-title = { $channel ->
    [sms] Rezygnacja z ofert w SMS-ach?
   *[email] Rezygnacja z ofert w e-mailach?
}
page-subscribed-text = { $channel ->
    [sms] Po naciśnięciu przycisku „Zrezygnuj” { $brand } przestanie wysyłać Państwu oferty SMS-em. Nic więcej się nie zmieni.
   *[email] Po naciśnięciu przycisku „Zrezygnuj” { $brand } przestanie wysyłać Państwu oferty e-mailem. Nic więcej się nie zmieni.
}
page-unsubscribe-button = Zrezygnuj
page-opted-out-title = Rezygnacja została zapisana
page-opted-out-text = { $channel ->
    [sms] { $brand } nie będzie już wysyłać ofert SMS-em. Oferta, która jest już w drodze, może jeszcze dotrzeć.
   *[email] { $brand } nie będzie już wysyłać ofert e-mailem. Oferta, która jest już w drodze, może jeszcze dotrzeć.
}
page-subscribe-button = Chcę znów otrzymywać oferty
page-form-expired-title = Proszę nacisnąć przycisk jeszcze raz
page-form-expired-text = { $minutes ->
    [one] Ta strona była otwarta dłużej niż { $minutes } minutę.
    [few] Ta strona była otwarta dłużej niż { $minutes } minuty.
    [many] Ta strona była otwarta dłużej niż { $minutes } minut.
   *[other] Ta strona była otwarta dłużej niż { $minutes } minuty.
} Czy { $brand } ma znów wysyłać oferty?
page-subscribed-again-title = Witamy ponownie
page-subscribed-again-text = { $channel ->
    [sms] { $brand } znów będzie wysyłać oferty SMS-em.
   *[email] { $brand } znów będzie wysyłać oferty e-mailem.
}
page-not-found-title = Ten link nie działa
page-not-found-text = Proszę jeszcze raz otworzyć link na końcu wiadomości i sprawdzić, czy jest kompletny.
page-unavailable-title = Proszę spróbować za chwilę
page-unavailable-text = Przepraszamy, tym razem się nie udało. Nic się nie zmieniło.
