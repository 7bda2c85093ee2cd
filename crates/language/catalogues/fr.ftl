offer-valid-until = Valable jusqu’au { $date }.
email-reason = { $brand } vous envoie cet e-mail parce que vous faites partie de sa clientèle et avez accepté de recevoir des offres.
email-security = { $brand } ne vous demande jamais votre code PIN ni votre mot de passe par e-mail.
email-unsubscribe = Ne plus recevoir d’offres par e-mail

sms-opt-out = Pour vous désabonner, répondez STOP

page-subscribed-title = { $channel ->
    [sms] Ne plus recevoir d’offres par SMS ?
   *[email] Ne plus recevoir d’offres par e-mail ?
}
page-subscribed-text = { $channel ->
    [sms] Appuyez sur le bouton pour que { $brand } ne vous envoie plus d’offres par SMS. Rien d’autre ne change.
   *[email] Appuyez sur le bouton pour que { $brand } ne vous envoie plus d’offres par e-mail. Rien d’autre ne change.
}
page-unsubscribe-button = Se désabonner
page-opted-out-title = Votre désabonnement est enregistré
page-opted-out-text = { $channel ->
    [sms] { $brand } ne vous enverra plus d’offres par SMS. Une offre déjà en route peut encore arriver.
   *[email] { $brand } ne vous enverra plus d’offres par e-mail. Une offre déjà en route peut encore arriver.
}
page-subscribe-button = Recevoir à nouveau les offres
page-form-expired-title = Veuillez appuyer encore une fois sur le bouton
page-form-expired-text = { $minutes ->
    [one] Cette page est restée ouverte plus de { $minutes } minute.
    [many] Cette page est restée ouverte plus de { $minutes } minutes.
   *[other] Cette page est restée ouverte plus de { $minutes } minutes.
} Souhaitez-vous recevoir à nouveau les offres de { $brand } ?
page-subscribed-again-title = Ravis de vous retrouver
page-subscribed-again-text = { $channel ->
    [sms] Vous recevrez à nouveau les offres de { $brand } par SMS.
   *[email] Vous recevrez à nouveau les offres de { $brand } par e-mail.
}
page-not-found-title = Ce lien ne fonctionne pas
page-not-found-text = Veuillez ouvrir à nouveau le lien qui figure à la fin du message et vérifier qu’il est complet.
page-unavailable-title = Veuillez réessayer dans un instant
page-unavailable-text = L’opération n’a pas abouti. Rien n’a changé.
