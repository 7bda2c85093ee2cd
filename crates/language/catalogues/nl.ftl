offer-valid-until = Geldig tot en met { $date }.
email-reason = { $brand } stuurt u deze e-mail omdat u klant bent en toestemming hebt gegeven voor aanbiedingen.
email-security = { $brand } vraagt u nooit per e-mail om uw pincode of wachtwoord.
email-unsubscribe = Geen aanbiedingen meer per e-mail

sms-opt-out = Afmelden: antwoord STOP

page-subscribed-title = { $channel ->
    [sms] Geen aanbiedingen meer per sms?
   *[email] Geen aanbiedingen meer per e-mail?
}
page-subscribed-text = { $channel ->
    [sms] Druk op de knop om geen aanbiedingen van { $brand } meer per sms te ontvangen. Verder verandert er niets.
   *[email] Druk op de knop om geen aanbiedingen van { $brand } meer per e-mail te ontvangen. Verder verandert er niets.
}
page-unsubscribe-button = Afmelden
page-opted-out-title = U bent afgemeld
page-opted-out-text = { $channel ->
    [sms] { $brand } stuurt u geen aanbiedingen meer per sms. Een aanbieding die al onderweg is, kan nog aankomen.
   *[email] { $brand } stuurt u geen aanbiedingen meer per e-mail. Een aanbieding die al onderweg is, kan nog aankomen.
}
page-subscribe-button = Weer aanbiedingen ontvangen
page-form-expired-title = Druk nog een keer op de knop
page-form-expired-text = { $minutes ->
    [one] Deze pagina stond langer dan { $minutes } minuut open.
   *[other] Deze pagina stond langer dan { $minutes } minuten open.
} Wilt u weer aanbiedingen van { $brand } ontvangen?
page-subscribed-again-title = Welkom terug
page-subscribed-again-text = { $channel ->
    [sms] U ontvangt weer aanbiedingen van { $brand } per sms.
   *[email] U ontvangt weer aanbiedingen van { $brand } per e-mail.
}
page-not-found-title = Deze link werkt niet
page-not-found-text = Open de link onderaan het bericht opnieuw en controleer of die volledig is.
page-unavailable-title = Probeer het zo dadelijk nog eens
page-unavailable-text = Sorry, dat lukte nu niet. Er is niets veranderd.
